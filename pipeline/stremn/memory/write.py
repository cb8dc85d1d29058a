"""Writing a template into the memory (STReMN Eq. 4, Sec. 3.2).

Letters: B clips, O objects, D decision rows (1 or O), G key groups, K slots, S slots plus a free one,
N positions.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stremn.errors import InputError
from stremn.memory.fusion import fused_state, similarity_to_newer
from stremn.memory.incoming import Incoming
from stremn.memory.policy import Policy
from stremn.memory.redundancy import learned_redundancy, looks, redundancy
from stremn.memory.rivals import determinants_without, foreground_shares
from stremn.memory.state import EMPTY, MemoryState, Template, template_tokens
from stremn.memory.trace import Trace
from stremn.ops.similarity import normalised, template_similarity


def decide(
    state: MemoryState,
    template: Template,
    policy: Policy,
    *,
    generator: torch.Generator | None = None,
    noise: bool = False,
    trace: Trace | None = None,
) -> Tensor:
    """The weights a of Eq. 4: (B, O, S), one slot of each row 1, or all 0 where nothing is stored.

    Column S − 1 is a slot that does not exist yet. Without ``per_object`` all objects share one decision,
    taken from scores averaged over the objects that a slot holds.

    Raises:
        InputError: a rule that works on single features.
    """
    shared = not policy.per_object
    held_BOK, given_BOK = _held(state, template.present)
    scores: dict[str, Tensor] = {}

    def similarity(which: str) -> Tensor:
        found = _scores(state, template, which, shared)
        if which == "update_keys" and template.age_score is not None:
            age = template.frame - _rows(held_BOK, shared)
            found = found + template.age_score(age.to(found.dtype))
        scores[which] = F.pad(found, (0, 1))
        return scores[which]

    incoming = _incoming(
        policy,
        held_BOK,
        given_BOK,
        template.given,
        frame=template.frame,
        similarity=similarity,
        noise=noise,
        generator=generator,
        logit_scale=template.logit_scale,
    )
    weights = _applied(policy, incoming)
    if trace is not None:
        trace.wrote(incoming, weights, next(iter(scores.values()), None))
    return weights.expand(-1, held_BOK.shape[1], -1)


def let_pass(state: MemoryState, frame: int, policy: Policy, trace: Trace | None) -> None:
    """Record a frame that the rule does not use: no mask of it is given, and the rule compares nothing."""
    if trace is None or not state.slots:
        return

    def similarity(which: str) -> Tensor:
        raise RuntimeError(f"rule {policy.name!r} compares {which} with a frame that it does not look at")

    none_BO = torch.zeros_like(state.given[:, :, 0])
    incoming = _incoming(policy, state.frame_index, state.given, none_BO, frame=frame, similarity=similarity)
    trace.wrote(incoming, _applied(policy, incoming), None)


def _applied(policy: Policy, incoming: Incoming) -> Tensor:
    if policy.entry.unit != "slot":
        raise InputError(
            f"expected a rule that keeps whole templates for training and prediction, found {policy.name!r}, "
            "which removes single features and passes no gradient: segment with it under torch.no_grad()"
        )
    return policy(incoming)


def _held(state: MemoryState, present_BO: Tensor) -> tuple[Tensor, Tensor]:
    """Which frame each slot holds for each object, and whether its mask was given, both (B, O, K)."""
    if state.slots:
        return state.frame_index, state.given
    nothing = torch.full((*present_BO.shape, 0), EMPTY, device=present_BO.device)
    return nothing, nothing.bool()


def _incoming(
    policy: Policy, held_BOK: Tensor, given_BOK: Tensor, given_BO: Tensor, **others: Any
) -> Incoming:
    """What the rule sees: one row for each decision, and a free column behind the slots."""
    shared = not policy.per_object
    return Incoming(
        held=F.pad(_rows(held_BOK, shared), (0, 1), value=EMPTY),
        given=F.pad(_rows(given_BOK, shared), (0, 1)),
        given_now=_rows(given_BO[..., None], shared)[..., 0],
        policy=policy,
        **others,
    )


def write(
    state: MemoryState,
    template: Template,
    policy: Policy,
    *,
    generator: torch.Generator | None = None,
    noise: bool = False,
    trace: Trace | None = None,
) -> MemoryState:
    """A new state with the template in it; ``state`` is left as it was.

    In the forward pass the chosen slot is replaced and the others stay exactly (unless the network fuses,
    see ``memory.fusion``); in the backward pass the softmax behind the choice gets its gradient
    through Eq. 4.
    """
    weights_BOS = decide(state, template, policy, generator=generator, noise=noise, trace=trace)
    state = fused_state(state, template, weights_BOS, policy)
    return apply(state, template, weights_BOS, policy)


def apply(state: MemoryState, template: Template, weights_BOS: Tensor, policy: Policy) -> MemoryState:
    """Eq. 4 for every tensor of the state, given the weights."""
    grows = bool(weights_BOS[..., -1].any())
    weights = weights_BOS if grows else weights_BOS[..., :-1]
    if not weights.shape[-1]:  # an empty memory and nothing to store
        return state
    stored = {}
    for name, new in rows_of(state, template, policy).items():
        old = getattr(state, name) if state.slots else new.new_empty(*new.shape[:2], 0, *new.shape[2:])
        padded = F.pad(old, (0, 0, 0, 0, 0, 1)) if grows else old
        stored[name] = _blend(padded, new, weights[:, : new.shape[1]])
    chosen = weights.detach() > 0.5
    index = torch.where(template.present, template.frame, EMPTY)[..., None]
    frame_index, given = _held(state, template.present)
    if grows:
        frame_index, given = F.pad(frame_index, (0, 1), value=EMPTY), F.pad(given, (0, 1))
    return MemoryState(
        **stored,
        frame_index=torch.where(chosen, index, frame_index),
        given=torch.where(chosen, (template.given & template.present)[..., None], given),
        size=(template.value.shape[-2], template.value.shape[-1]),
    )


def rows_of(state: MemoryState, template: Template, policy: Policy) -> dict[str, Tensor]:
    """What a slot holds of a template, by the tensor of the state."""
    rows = template_tokens(template, policy)
    return {**rows, "looks": looks(state, template)} if policy.entry.judged else rows


def _blend(old: Tensor, new: Tensor, weights: Tensor) -> Tensor:
    a = weights[..., None, None]
    if a.requires_grad:
        return (1 - a) * old + a * new[:, :, None]
    return torch.where(a > 0.5, new[:, :, None], old)


def _rows(per_object: Tensor, shared: bool) -> Tensor:
    """(B, O, K) as decision rows: with one shared decision a slot holds what any object holds there."""
    return per_object.amax(1, keepdim=True) if shared else per_object


def _scores(state: MemoryState, template: Template, which: str, shared: bool) -> Tensor:
    """Eq. 1 of the incoming frame with each slot: (B, O, K), or (B, 1, K) averaged over a slot's objects.

    ``newer`` and ``determinant``: between the slots themselves; ``foreground``: of the read, see ``rivals``.
    """
    if which == "update_keys":
        query = normalised(template.update_query.flatten(-2).transpose(-1, -2))
        scores = template_similarity(query, state.update_keys)
    elif which == "newer":
        scores = similarity_to_newer(state)
    elif which == "foreground":
        scores = foreground_shares(state, template)
    elif which == "redundancy":
        scores = redundancy(state, template)
    elif which == "learned_redundancy":
        scores = learned_redundancy(state, template)
    elif which == "determinant":
        scores = determinants_without(state)
    else:
        query = normalised(template.key.flatten(-2).transpose(-1, -2))
        scores = template_similarity(query, normalised(state.keys))
    if not shared:
        return scores.expand_as(state.frame_index)
    valid = state.valid.to(scores.dtype)
    scores = scores.expand_as(valid)
    return (scores * valid).sum(1, keepdim=True) / valid.sum(1, keepdim=True).clamp_min(1)
