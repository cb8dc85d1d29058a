"""A rule with the settings that it runs with, and what is known of every rule.

The rules themselves are in ``slot_rules``, ``rivals`` and ``feature_rules``; ``policies`` enters them here by name.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

NETWORK = "network"  # of ``Policy.fusion``: as the network was built

Index = Literal["top_k", "softmax"]


@dataclass(frozen=True)
class Policy:
    """A rule with its settings; ``make_policy`` checks them.

    Attributes:
        name: entry of ``POLICIES``.
        slots: K, the largest number of slots; None where the rule decides alone how many it keeps.
        protect_first: never evict a template whose mask was given (the first frame).
        protect_previous: never evict the latest template when the next one arrives.
        every: period in frames, of ``every_n``, of the rules on features, ``rmem`` and ``readmem``.
        per_object: one eviction decision for each object instead of one per frame.
        temperature: τ of Eq. 3.
        index: what counts as use of a feature (AMM Table IV): ``top_k``: each query position whose
            k best affinities it is among; ``softmax``: its weights in the read, added up.
        index_k: that k where the network reads without a top-k of its own (20 as in STCN).
        keep_latest: ``every_n`` holds the latest frame too (STM); False: only given and N-th frames (STCN).
        fusion: what happens to an evicted template's information: entry of ``fusion.SWITCHES``.
    """

    name: str
    slots: int | None = 6
    protect_first: bool = True
    protect_previous: bool = False
    every: int = 5
    per_object: bool = False
    temperature: float = 1.0
    index: Index = "top_k"
    index_k: int = 20
    keep_latest: bool = True
    fusion: str = NETWORK

    def __call__(self, incoming: Any) -> Tensor:
        """Weights (B, D, S) of Eq. 4 from an ``Incoming``; scores (B, M) from ``Entries``, the lowest go."""
        return POLICIES[self.name].rule(incoming)

    @property
    def entry(self) -> "Entry":
        """The rule's line in ``POLICIES``."""
        return POLICIES[self.name]

    def due(self, frame: int) -> bool:
        """Whether a frame without a given mask may be stored: False between two periods of some rules."""
        periodic = self.entry.unit == "feature" or (self.entry.periodic and not self.keep_latest)
        return not periodic or frame % self.every == 0


@dataclass(frozen=True)
class Entry:
    """One rule.

    Attributes:
        rule: of ``Incoming`` (unit ``slot``) or of ``feature_rules.Entries`` (unit ``feature``).
        title: the paper's letter and words.
        source: where the papers describe it.
        fixed: keeps to K slots, or K frames' worth of features.
        unit: what is removed at once: a whole template, or single features.
        random: draws random numbers.
        periodic: stores nothing between two periods if it does not keep the latest frame.
        protect_first: what ``Policy.protect_first`` is where it is not set.
        index: what ``Policy.index`` is where it is not set.
        update_keys: compares update keys, which not every system has.
        judged: asks the network's ``Judge``, which it may not have.
        sees_objects: compares templates where they show the objects, which the slots remember then.
    """

    rule: Callable[..., Tensor]
    title: str
    source: str
    fixed: bool
    unit: Literal["slot", "feature"] = "slot"
    random: bool = False
    periodic: bool = False
    protect_first: bool = True
    index: Index = "top_k"
    update_keys: bool = False
    sees_objects: bool = False
    judged: bool = False


POLICIES: dict[str, Entry] = {}
"""Every rule by name."""
