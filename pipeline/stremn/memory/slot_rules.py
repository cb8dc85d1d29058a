"""The rules on whole templates: which slot does the incoming template go to?

A rule is a function of ``Incoming`` and returns the weights a of STReMN Eq. 4: for each row one number
per slot, exactly one of them 1 (that slot is overwritten) or all 0 (the template is not stored). The last
column is a free slot.

Letters: B clips; D rows of decisions (1 shared by all objects, or one for each object); S slots in use plus
at least one free column.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from stremn.memory.incoming import Incoming
from stremn.ops.gumbel import straight_through

Rule = Callable[[Incoming], Tensor]


def _one_hot(slot: Tensor, like: Tensor) -> Tensor:
    return torch.zeros(like.shape, device=like.device).scatter(-1, slot[..., None], 1.0)


def append(incoming: Incoming) -> Tensor:
    """Into the first free slot."""
    return _one_hot((~incoming.occupied).int().argmax(-1), incoming.held)


def best(score: Tensor, allowed: Tensor) -> Tensor:
    """One-hot of the highest score among the allowed slots; equal scores: the first slot."""
    return _one_hot(score.float().masked_fill(~allowed, -torch.inf).argmax(-1), score)


def when_full(evict: Rule) -> Rule:
    """Fill free slots first; with all K in use overwrite the slot that ``evict`` chooses (Sec. 3.2)."""

    def rule(incoming: Incoming) -> Tensor:
        full = incoming.occupied.sum(-1, keepdim=True) >= (incoming.policy.slots or 0)
        if not bool(full.any()):
            return append(incoming)
        return torch.where(full, evict(incoming), append(incoming))

    return rule


def learned(incoming: Incoming) -> Tensor:
    """STReMN Eqs. 1–3: straight-through Gumbel-softmax over the similarity of update keys."""
    return straight_through(
        incoming.similarity("update_keys") * incoming.logit_scale,
        incoming.evictable,
        temperature=incoming.policy.temperature,
        noise=incoming.noise,
        generator=incoming.generator,
    )


def oldest(incoming: Incoming) -> Tensor:
    """Rule A: a queue."""
    return best(-incoming.held, incoming.evictable)


def newest(incoming: Incoming) -> Tensor:
    """Rule B: a stack."""
    return best(incoming.held, incoming.evictable)


def random_drop(incoming: Incoming) -> Tensor:
    """Rule C: any evictable slot, all equally likely."""
    return best(incoming.uniform(), incoming.evictable)


def random_select(incoming: Incoming) -> Tensor:
    """Rule D: a uniform random choice of all previous frames.

    Reservoir sampling, so that K slots suffice. When frame t arrives, frame t − 1 is in the slot of the
    latest. Of the frames seen up to t − 1 (without the protected) every subset of the R other slots'
    size is to be equally likely: t − 1 stays with probability R / seen, in place of a random one.
    """
    # frame t − 1 is in the slot of the latest; the pool holds the random choice among the frames before it
    latest = incoming.newest
    protected = incoming.given if incoming.policy.protect_first else torch.zeros_like(latest)
    pool = incoming.occupied & ~latest & ~protected
    # of the ``seen`` frames up to t − 1 each is to be in one of the R = ``room`` slots with the same chance
    room = pool.sum(-1)
    seen = incoming.frame - (incoming.occupied & protected).sum(-1)
    # so t − 1 stays with probability R / seen …
    draw = torch.rand(room.shape, generator=incoming.generator, device=room.device)
    stays = (draw * seen < room)[..., None] & pool.any(-1, keepdim=True)
    # … in place of a random one of the pool; else it is overwritten itself (or what may be, if it is protected)
    fallback = torch.where(
        (latest & ~protected).any(-1, keepdim=True), latest & ~protected, incoming.evictable
    )
    return best(incoming.uniform(), torch.where(stays, pool, fallback))


def most_similar(incoming: Incoming) -> Tensor:
    """Rule F: the template most like the newest, by Eq. 1 on the read keys, trained or not."""
    return best(incoming.similarity("keys"), incoming.evictable)


def redundancy(incoming: Incoming) -> Tensor:
    """The template most like another one where they show the objects, by the read keys; see ``memory.redundancy``."""
    return best(incoming.similarity("redundancy"), incoming.evictable)


def learned_redundancy(incoming: Incoming) -> Tensor:
    """The look that another template shows, or the frames before did not show; see ``memory.redundancy``."""
    return best(incoming.similarity("learned_redundancy"), incoming.evictable)


def similar_pair(incoming: Incoming) -> Tensor:
    """The older template of the most similar pair of slots, by Eq. 1 on the read keys.

    The selection step of the earlier version of STReMN (its Fig. 3); with a network that fuses into
    ``most_similar`` this is its select–distil–update. The incoming template plays no part.
    """
    return best(incoming.similarity("newer"), incoming.evictable)


def first_and_previous(incoming: Incoming) -> Tensor:
    """Rule E of STReMN, "first & previous" of STM: given masks and the latest frame."""
    replaceable = incoming.newest & ~incoming.given
    return torch.where(replaceable.any(-1, keepdim=True), replaceable.float(), append(incoming))


def first(incoming: Incoming) -> Tensor:
    """STM Table 5: given masks only; a predicted frame is never stored."""
    return append(incoming) * incoming.given_now[..., None]


def previous(incoming: Incoming) -> Tensor:
    """STM Table 5: the latest frame only."""
    some = incoming.occupied.any(-1, keepdim=True)
    return torch.where(some, incoming.newest.float(), append(incoming))


def every_n(incoming: Incoming) -> Tensor:
    """STM's rule: frames 0, N, 2N, … stay for ever, and the latest one. The memory grows.

    Without ``keep_latest`` (STCN's release) a frame between them is stored only if its mask was given.
    """
    if not incoming.policy.keep_latest and incoming.frame % incoming.policy.every:
        return append(incoming) * incoming.given_now[..., None]
    temporary = incoming.newest & ~incoming.given & (incoming.held % incoming.policy.every != 0)
    return torch.where(temporary.any(-1, keepdim=True), temporary.float(), append(incoming))
