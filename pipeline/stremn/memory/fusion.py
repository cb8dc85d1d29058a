"""Fusion on eviction: what a template knew is passed on to templates that stay (STReMN supplementary B).

Differs: the paper fuses X^M, the memory encoder's output. A slot here stores what the read and Eq. 1 need of
it, key, value and update key, and X is these three side by side. (Both are the same templates up to an affine
map; but the gates' tanh is not affine, so fused X^M could not be kept as keys and values.) Keys of the image
alone (``keys="image"``) take part in the gates and stay as they are: they say where the positions are.

Silent, and decided here:

- The similarity behind ``least_similar`` and ``most_similar`` is Eq. 1 on the read keys, as in rule F, from the
  leaving template to each that stays. Equal similarities: the first slot.
- A given mask is not changed where ``Policy.protect_first`` keeps it from eviction.
- Each object is fused on its own; a template is fused for the objects that it holds.
- No gradient flows into the choice of the target; what fused templates say later does reach the gates.

Letters: B clips, O objects, G key groups (1 or O), K slots, S slots plus a free one, P pairs, N positions, C channels.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stremn.errors import InputError
from stremn.memory.policy import NETWORK, Policy
from stremn.memory.state import Fusion, MemoryState, Template
from stremn.ops.similarity import normalised, template_similarity

STRATEGIES = ("least_similar", "most_similar", "all_others")
OFF = "none"  # YAML reads "off" as False
SWITCHES = (NETWORK, OFF, *STRATEGIES)
"""``Policy.fusion``: as the network was built (none without a cell), never, or by this strategy."""


def checked_strategy(name: str | None) -> str | None:
    """A strategy or None; InputError for any other name."""
    if name is not None and name not in STRATEGIES:
        raise InputError(f"expected a fusion strategy of {', '.join(STRATEGIES)}, or none; found {name!r}")
    return name


def wanted(policy: Policy, template: Template) -> Fusion | None:
    """The fusion of a write: what the policy asks for and the network has.

    Raises:
        InputError: the policy names a strategy and the network has no fusion module.
    """
    if policy.fusion == OFF:
        return None
    if policy.fusion != NETWORK and template.fusion is None:
        raise InputError(
            f"expected a network with a fusion module for fusion={policy.fusion!r}, found one without: "
            f"use {NETWORK!r} or {OFF!r}, or train one with the field fusion={policy.fusion!r}"
        )
    if policy.fusion == NETWORK or template.fusion is None:
        return template.fusion
    return replace(template.fusion, strategy=policy.fusion)


@dataclass(frozen=True)
class FusedSlots:
    """Fused templates: ``tensors[name][p]`` belongs to clip, object and slot ``where[…][p]``."""

    where: tuple[Tensor, Tensor, Tensor]
    tensors: dict[str, Tensor]


def fused_slots(state: MemoryState, weights_BOS: Tensor, policy: Policy, fusion: Fusion) -> FusedSlots | None:
    """The templates that change because others are about to be overwritten; None: no such.

    Args:
        state: the memory before the write.
        weights_BOS: the weights of Eq. 4 (``memory.decide``).
    """
    if not state.slots:
        return None
    chosen = weights_BOS.detach()[..., : state.slots] > 0.5
    clip, row, slot = _targets(state, chosen, policy, fusion.strategy).nonzero(as_tuple=True)
    if not len(clip):
        return None
    leaving = chosen.int().argmax(-1)[clip, row]
    widths = [t.shape[-1] for t in (state.keys, state.values, state.update_keys)]
    fused = fusion.cell(_joined(state, clip, row, leaving), _joined(state, clip, row, slot), state.size)
    keys, values, update_keys = fused.split(widths, -1)
    tensors = {"values": values, "update_keys": normalised(update_keys)}
    if fusion.keys:
        tensors["keys"] = keys
    old = state.tensors()
    return FusedSlots((clip, row, slot), {name: new.to(old[name].dtype) for name, new in tensors.items()})


def fused_state(state: MemoryState, template: Template, weights_BOS: Tensor, policy: Policy) -> MemoryState:
    """The memory just before Eq. 4: a new state, or ``state`` itself where nothing is fused."""
    fusion = wanted(policy, template)
    found = None if fusion is None else fused_slots(state, weights_BOS, policy, fusion)
    if found is None:
        return state
    changed = {
        n: t.index_put(found.where, found.tensors[n])
        for n, t in state.tensors().items()
        if n in found.tensors
    }
    return MemoryState(**{**state.tensors(), **changed}, size=state.size)


def _targets(state: MemoryState, chosen_BOK: Tensor, policy: Policy, strategy: str) -> Tensor:
    """Boolean (B, O, K): the templates into which the chosen one is fused."""
    leaves = (chosen_BOK & state.valid).any(-1, keepdim=True)
    allowed = state.valid & ~chosen_BOK & leaves
    if policy.protect_first:
        allowed = allowed & ~state.given
    if strategy == "all_others" or not bool(allowed.any()):
        return allowed
    sign = 1 if strategy == "most_similar" else -1
    scores = sign * _similarity_to_chosen(state, chosen_BOK).expand(allowed.shape)
    best = scores.masked_fill(~allowed, -torch.inf).argmax(-1, keepdim=True)
    return torch.zeros_like(allowed).scatter(-1, best, True) & allowed


def _similarity_to_chosen(state: MemoryState, chosen_BOK: Tensor) -> Tensor:
    """Eq. 1 on the read keys from the chosen template to every slot: (B, G, K)."""
    keys_BGKNC = normalised(state.keys.detach())
    groups = keys_BGKNC.shape[1]
    slot = chosen_BOK[:, :groups].int().argmax(-1)
    leaving = keys_BGKNC.gather(2, slot[..., None, None, None].expand(-1, -1, 1, *keys_BGKNC.shape[3:]))
    return template_similarity(leaving[:, :, 0], keys_BGKNC)


def similarity_to_newer(state: MemoryState) -> Tensor:
    """For each slot its best Eq. 1 on the read keys with a newer template: (B, O, K), −1 where there is none.

    The slot with the highest number is the older one of the most similar pair, X_i of the selection
    step of the earlier version (its Fig. 3).
    """
    keys_BGKNC = normalised(state.keys.detach())
    columns = []
    for slot in range(state.slots):
        scores = template_similarity(keys_BGKNC[:, :, slot], keys_BGKNC).expand(state.frame_index.shape)
        newer = state.valid & (state.frame_index > state.frame_index[..., slot : slot + 1])
        columns.append(scores.masked_fill(~newer, -1).amax(-1))
    return torch.stack(columns, -1)


def _joined(state: MemoryState, clip: Tensor, row: Tensor, slot: Tensor) -> Tensor:
    """X of some templates: key, value and update key side by side, (P, N, C)."""
    group = row if state.keys.shape[1] > 1 else torch.zeros_like(row)
    parts = [
        state.keys[clip, group, slot],
        state.values[clip, row, slot],
        state.update_keys[clip, row, slot],
    ]
    return torch.cat(parts, -1)
