"""Every update rule of the papers by name.

To add a rule, write a function as in ``slot_rules`` or ``rivals`` (whole templates) or ``feature_rules`` (single features)
and one line in ``POLICIES``.
"""

from functools import partial
from typing import get_args

import stremn.memory.rivals as rivals
import stremn.memory.slot_rules as slot_rules
from stremn.errors import InputError, nearest
from stremn.memory.feature_rules import learned_features, least_frequently_used, similar_features
from stremn.memory.fusion import OFF, SWITCHES
from stremn.memory.policy import NETWORK, POLICIES, Entry, Index, Policy
from stremn.memory.slot_rules import when_full

__all__ = ["POLICIES", "Entry", "Policy", "make_policy"]

_features = partial(Entry, fixed=True, unit="feature")

POLICIES |= {
    "learned": Entry(
        when_full(slot_rules.learned), "Learned (STReMN)", "STReMN Eqs. 1–4", True, update_keys=True
    ),
    "oldest": Entry(when_full(slot_rules.oldest), "(A) Remove oldest", "STReMN Sec. 4.1.2", True),
    "newest": Entry(when_full(slot_rules.newest), "(B) Remove newest", "STReMN Sec. 4.1.2", True),
    "random_drop": Entry(
        when_full(slot_rules.random_drop), "(C) Random drop", "STReMN Sec. 4.1.2", True, random=True
    ),
    "random_select": Entry(
        when_full(slot_rules.random_select), "(D) Random select", "STReMN Sec. 4.1.2", True, random=True
    ),
    "first_and_previous": Entry(
        slot_rules.first_and_previous, "(E) First and latest", "STReMN Sec. 4.1.2, STM Table 5", False
    ),
    "most_similar": Entry(
        when_full(slot_rules.most_similar), "(F) Drop most similar", "STReMN Sec. 4.1.2", True
    ),
    "similar_pair": Entry(
        when_full(slot_rules.similar_pair),
        "Older of the most similar pair",
        "STReMN's earlier version, Fig. 3",
        True,
    ),
    "redundancy": Entry(
        when_full(slot_rules.redundancy),
        "Most redundant",
        "Differs: see memory.redundancy",
        True,
        sees_objects=True,
    ),
    "learned_redundancy": Entry(
        when_full(slot_rules.learned_redundancy),
        "Learned redundancy",
        "Differs: see memory.redundancy",
        True,
        judged=True,
    ),
    "rmem": Entry(when_full(rivals.rmem), "RMem", "RMem, CVPR 2024", True),
    "readmem": Entry(when_full(rivals.readmem), "READMem", "READMem, BMVC 2023", True),
    "first": Entry(slot_rules.first, "First frame only", "STM Table 5", False),
    "previous": Entry(slot_rules.previous, "Previous frame only", "STM Table 5", False),
    "every_n": Entry(slot_rules.every_n, "STM, every N frames", "STM Sec. 4.3", False, periodic=True),
    "lfu": _features(
        least_frequently_used, "AMM, least frequently used", "AMM Sec. III-D", protect_first=False
    ),
    "lfu_softmax": _features(
        least_frequently_used, "AMM, softmax index", "AMM Table IV", protect_first=False, index="softmax"
    ),
    "learned_features": _features(
        learned_features, "Learned, single features", "STReMN Eq. 1 on AMM's entries", update_keys=True
    ),
    "similar_features": _features(similar_features, "Drop most similar features", "Rule F on AMM's entries"),
}


def policy_entry(name: str) -> Entry:
    """The rule of this name in ``POLICIES``; InputError, which names the nearest one, where there is none."""
    if name not in POLICIES:
        hint = nearest(name, POLICIES)
        raise InputError(f"expected a memory rule of {', '.join(POLICIES)}; found {name!r}{hint}")
    return POLICIES[name]


def make_policy(
    name: str,
    *,
    slots: int = 6,
    protect_first: bool | None = None,
    protect_previous: bool = False,
    every: int = 5,
    per_object: bool = False,
    temperature: float = 1.0,
    index: Index | None = None,
    index_k: int = 20,
    keep_latest: bool = True,
    fusion: str = NETWORK,
) -> Policy:
    """A checked policy. ``slots`` is ignored by the rules that decide alone how many they keep.

    ``protect_first`` and ``index`` are the rule's own where they are None: AMM protects nothing, and all
    other rules protect given masks.

    Raises:
        InputError: unknown name (the nearest one is named), too few slots, a period below 1, an index
            or a fusion that does not exist, or decisions per object or fusion of a rule on features.
    """
    entry = policy_entry(name)
    policy = Policy(
        name,
        slots if entry.fixed else None,
        entry.protect_first if protect_first is None else protect_first,
        protect_previous,
        every,
        per_object,
        temperature,
        keep_latest=keep_latest,
        index=entry.index if index is None else index,
        index_k=index_k,
        fusion=fusion,
    )
    _check(policy)
    return policy


def _check(policy: Policy) -> None:
    name, least = policy.name, 1 + int(policy.protect_first) + int(policy.protect_previous)
    if policy.slots is not None and policy.slots < least:
        raise InputError(
            f"rule {name!r} needs at least {least} slots with these protections, found {policy.slots}"
        )
    if policy.every < 1 or policy.temperature <= 0:
        found = f"{policy.every} and {policy.temperature}"
        raise InputError(f"expected every ≥ 1 and temperature > 0, found {found}")
    if policy.index not in get_args(Index) or policy.index_k < 1:
        found = f"{policy.index!r} and {policy.index_k}"
        raise InputError(f"expected index 'top_k' or 'softmax' and index_k ≥ 1, found {found}")
    if policy.per_object and policy.entry.unit == "feature":
        raise InputError(f"rule {name!r} decides once for all objects, found per_object: leave it off")
    if policy.fusion not in SWITCHES:
        raise InputError(f"expected fusion as one of {', '.join(SWITCHES)}; found {policy.fusion!r}")
    if policy.fusion not in (NETWORK, OFF) and policy.entry.unit == "feature":
        raise InputError(
            f"rule {name!r} has no whole templates to fuse, found {policy.fusion!r}: leave it out"
        )
