"""A rule that never gives up some chosen templates: the what-if "freeze"."""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from stremn.memory import Policy
from stremn.memory.incoming import Incoming


@dataclass(frozen=True)
class FrozenPolicy(Policy):
    """Another policy with some frames that stay in the memory for good.

    The rule sees them as protected, like given masks. Where it chooses one all the same (a rule that always
    replaces the latest, say), the oldest other template that may go is overwritten; where there is none, the
    new frame takes a free slot if the rule has no fixed number of them, and else is not stored.

    Attributes:
        frozen: their frame numbers.
    """

    frozen: tuple[int, ...] = ()

    def __call__(self, incoming: Incoming) -> Tensor:
        frozen = torch.isin(incoming.held, incoming.held.new_tensor(self.frozen))
        given = incoming.given | frozen if self.protect_first else frozen
        inner = Policy(**{f.name: getattr(self, f.name) for f in fields(Policy)})
        weights = inner(replace(incoming, given=given, policy=replace(inner, protect_first=True)))
        wrong = (weights * frozen).sum(-1, keepdim=True) > 0
        free = incoming.occupied & ~frozen & ~(incoming.given & self.protect_first)
        age = incoming.held.masked_fill(~free, 2**62)
        oldest = torch.zeros_like(weights).scatter(-1, age.argmin(-1, keepdim=True), 1.0) * free
        if self.slots is None:
            new = torch.zeros_like(weights).scatter(-1, (~incoming.occupied).int().argmax(-1, True), 1.0)
            oldest = torch.where(free.any(-1, keepdim=True), oldest, new)
        return torch.where(wrong, oldest, weights)


def freeze(policy: Policy, frame: int) -> FrozenPolicy:
    """``policy`` with one more frame that stays."""
    known = policy.frozen if isinstance(policy, FrozenPolicy) else ()
    return FrozenPolicy(**{f.name: getattr(policy, f.name) for f in fields(Policy)}, frozen=(*known, frame))
