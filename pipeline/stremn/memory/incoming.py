"""What a rule on slots may look at when a template arrives.

Letters: B clips; D rows of decisions (1 shared by all objects, or one for each object); S slots in use plus
at least one free column.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stremn.memory.policy import Policy
from stremn.memory.state import EMPTY


@dataclass(frozen=True)
class Incoming:
    """What a rule may look at when a template arrives.

    Attributes:
        frame: index of the incoming frame.
        held: int64 (B, D, S), frame index of each slot, −1 where free.
        given: boolean (B, D, S), the slot holds a given mask.
        given_now: boolean (B, D), the incoming template has a given mask.
        similarity: ``similarity("update_keys")`` or ``similarity("keys")``: Eq. 1 between the incoming
            frame and each slot, (B, D, S), computed when asked. ``similarity("newer")``: on the keys,
            between each slot and the newer one most like it, −1 for the newest. ``foreground`` and
            ``determinant``: see ``rivals``.
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
    policy: Policy
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
