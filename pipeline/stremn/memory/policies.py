"""Every update rule of the papers: which slot does the incoming template go to?

A rule is a function of ``Incoming`` and returns the weights a of STReMN Eq. 4: for each row one number
per slot, exactly one of them 1 (that slot is overwritten) or all 0 (the template is not stored). The last
column is a free slot. To add a rule, write such a function and one line in ``POLICIES``.

Letters: B clips; D rows of decisions (1 shared by all objects, or one for each object); S slots in use plus
at least one free column.
"""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches

import torch
from torch import Tensor

from stremn.errors import InputError
from stremn.memory.state import EMPTY
from stremn.ops.gumbel import straight_through


@dataclass(frozen=True)
class Incoming:
    """What a rule may look at when a template arrives.

    Attributes:
        frame: index of the incoming frame.
        held: int64 (B, D, S), frame index of each slot, −1 where free.
        given: boolean (B, D, S), the slot holds a given mask.
        given_now: boolean (B, D), the incoming template has a given mask.
        similarity: ``similarity("update_keys")`` or ``similarity("keys")``: Eq. 1 between the incoming
            frame and each slot, (B, D, S), computed when asked.
        policy: the settings.
        noise: add Gumbel noise to the learned scores (training).
        generator: source of random numbers, None for PyTorch's global one.
        logit_scale: factor of the learned scores.
    """

    frame: int
    held: Tensor
    given: Tensor
    given_now: Tensor
    similarity: Callable[[str], Tensor]
    policy: "Policy"
    noise: bool = False
    generator: torch.Generator | None = None
    logit_scale: Tensor | float = 1.0

    @property
    def occupied(self) -> Tensor:
        """Boolean (B, D, S): the slot holds a template."""
        return self.held != EMPTY

    @property
    def newest(self) -> Tensor:
        """Boolean (B, D, S): the slot holds the latest template of its row."""
        return self.occupied & (self.held == self.held.amax(-1, keepdim=True))

    @property
    def evictable(self) -> Tensor:
        """Boolean (B, D, S): slots that may be overwritten, at least one in each row with templates.

        Protected are given masks (``protect_first``) and the latest template (``protect_previous``).
        Where that leaves nothing (many late objects), first the latest and then every slot but the
        oldest may go.
        """
        allowed = self.occupied
        if self.policy.protect_first:
            allowed = allowed & ~self.given
        strict = allowed & ~self.newest if self.policy.protect_previous else allowed
        not_oldest = self.occupied & (
            self.held != self.held.masked_fill(~self.occupied, 2**62).amin(-1, True)
        )
        for choice in (allowed, not_oldest, self.occupied):
            strict = torch.where(strict.any(-1, keepdim=True), strict, choice)
        return strict

    def uniform(self) -> Tensor:
        """Uniform random numbers in [0, 1), (B, D, S)."""
        return torch.rand(self.held.shape, generator=self.generator, device=self.held.device)


Rule = Callable[[Incoming], Tensor]


@dataclass(frozen=True)
class Policy:
    """A rule with its settings; ``make_policy`` checks them.

    Attributes:
        name: entry of ``POLICIES``.
        slots: K, the largest number of slots; None where the rule decides alone how many it keeps.
        protect_first: never evict a template whose mask was given (the first frame).
        protect_previous: never evict the latest template when the next one arrives.
        every: period of ``every_n`` in frames.
        per_object: one eviction decision for each object instead of one per frame.
        temperature: τ of Eq. 3.
    """

    name: str
    slots: int | None = 6
    protect_first: bool = True
    protect_previous: bool = False
    every: int = 5
    per_object: bool = False
    temperature: float = 1.0

    def __call__(self, incoming: Incoming) -> Tensor:
        """Weights (B, D, S) of Eq. 4."""
        return POLICIES[self.name].rule(incoming)


def _one_hot(slot: Tensor, like: Tensor) -> Tensor:
    return torch.zeros(like.shape, device=like.device).scatter(-1, slot[..., None], 1.0)


def _append(incoming: Incoming) -> Tensor:
    return _one_hot((~incoming.occupied).int().argmax(-1), incoming.held)


def _best(score: Tensor, allowed: Tensor) -> Tensor:
    """One-hot of the highest score among the allowed slots; equal scores: the first slot."""
    return _one_hot(score.float().masked_fill(~allowed, -torch.inf).argmax(-1), score)


def _when_full(evict: Rule) -> Rule:
    """Fill free slots first; with all K in use overwrite the slot that ``evict`` chooses (Sec. 3.2)."""

    def rule(incoming: Incoming) -> Tensor:
        full = incoming.occupied.sum(-1, keepdim=True) >= (incoming.policy.slots or 0)
        if not bool(full.any()):
            return _append(incoming)
        return torch.where(full, evict(incoming), _append(incoming))

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
    return _best(-incoming.held, incoming.evictable)


def newest(incoming: Incoming) -> Tensor:
    """Rule B: a stack."""
    return _best(incoming.held, incoming.evictable)


def random_drop(incoming: Incoming) -> Tensor:
    """Rule C: any evictable slot, all equally likely."""
    return _best(incoming.uniform(), incoming.evictable)


def random_select(incoming: Incoming) -> Tensor:
    """Rule D: a uniform random choice of all previous frames.

    Reservoir sampling, so that K slots suffice. When frame t arrives, frame t − 1 is in the slot of the
    latest. Of the frames seen up to t − 1 (without the protected) every subset of the R other slots'
    size is to be equally likely: t − 1 stays with probability R / seen, in place of a random one.
    """
    latest = incoming.newest
    protected = incoming.given if incoming.policy.protect_first else torch.zeros_like(latest)
    pool = incoming.occupied & ~latest & ~protected
    room = pool.sum(-1)
    seen = incoming.frame - (incoming.occupied & protected).sum(-1)
    draw = torch.rand(room.shape, generator=incoming.generator, device=room.device)
    stays = (draw * seen < room)[..., None] & pool.any(-1, keepdim=True)
    fallback = torch.where(
        (latest & ~protected).any(-1, keepdim=True), latest & ~protected, incoming.evictable
    )
    return _best(incoming.uniform(), torch.where(stays, pool, fallback))


def most_similar(incoming: Incoming) -> Tensor:
    """Rule F: the template most like the newest, by Eq. 1 on the read keys, trained or not."""
    return _best(incoming.similarity("keys"), incoming.evictable)


def first_and_previous(incoming: Incoming) -> Tensor:
    """Rule E of STReMN, "first & previous" of STM: given masks and the latest frame."""
    replaceable = incoming.newest & ~incoming.given
    return torch.where(replaceable.any(-1, keepdim=True), replaceable.float(), _append(incoming))


def first(incoming: Incoming) -> Tensor:
    """STM Table 5: given masks only; a predicted frame is never stored."""
    return _append(incoming) * incoming.given_now[..., None]


def previous(incoming: Incoming) -> Tensor:
    """STM Table 5: the latest frame only."""
    some = incoming.occupied.any(-1, keepdim=True)
    return torch.where(some, incoming.newest.float(), _append(incoming))


def every_n(incoming: Incoming) -> Tensor:
    """STM's rule: frames 0, N, 2N, … stay for ever, and the latest one. The memory grows."""
    temporary = incoming.newest & ~incoming.given & (incoming.held % incoming.policy.every != 0)
    return torch.where(temporary.any(-1, keepdim=True), temporary.float(), _append(incoming))


@dataclass(frozen=True)
class Entry:
    """One rule: the function, the paper's letter and words, and whether it keeps to K slots."""

    rule: Rule
    title: str
    source: str
    fixed: bool


POLICIES: dict[str, Entry] = {
    "learned": Entry(_when_full(learned), "Learned (STReMN)", "STReMN Eqs. 1–4", True),
    "oldest": Entry(_when_full(oldest), "(A) Remove oldest", "STReMN Sec. 4.1.2", True),
    "newest": Entry(_when_full(newest), "(B) Remove newest", "STReMN Sec. 4.1.2", True),
    "random_drop": Entry(_when_full(random_drop), "(C) Random drop", "STReMN Sec. 4.1.2", True),
    "random_select": Entry(_when_full(random_select), "(D) Random select", "STReMN Sec. 4.1.2", True),
    "first_and_previous": Entry(
        first_and_previous, "(E) First and latest", "STReMN Sec. 4.1.2, STM Table 5", False
    ),
    "most_similar": Entry(_when_full(most_similar), "(F) Drop most similar", "STReMN Sec. 4.1.2", True),
    "first": Entry(first, "First frame only", "STM Table 5", False),
    "previous": Entry(previous, "Previous frame only", "STM Table 5", False),
    "every_n": Entry(every_n, "STM, every N frames", "STM Sec. 4.3", False),
}


def make_policy(
    name: str,
    *,
    slots: int = 6,
    protect_first: bool = True,
    protect_previous: bool = False,
    every: int = 5,
    per_object: bool = False,
    temperature: float = 1.0,
) -> Policy:
    """A checked policy. ``slots`` is ignored by the rules that decide alone how many they keep.

    Raises:
        InputError: unknown name (the nearest one is named), too few slots, a period below 1.
    """
    if name not in POLICIES:
        near = get_close_matches(name, POLICIES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"expected a memory rule of {', '.join(POLICIES)}; found {name!r}{hint}")
    least = 1 + int(protect_first) + int(protect_previous)
    if POLICIES[name].fixed and slots < least:
        raise InputError(f"rule {name!r} needs at least {least} slots with these protections, found {slots}")
    if every < 1 or temperature <= 0:
        raise InputError(f"expected every ≥ 1 and temperature > 0, found {every} and {temperature}")
    return Policy(
        name,
        slots if POLICIES[name].fixed else None,
        protect_first,
        protect_previous,
        every,
        per_object,
        temperature,
    )
