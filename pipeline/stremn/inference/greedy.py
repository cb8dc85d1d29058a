"""An oracle for any clip with true masks: it tries every slot, looks some frames ahead with each, and keeps the best.

Letters: T frames, O objects, S slots and a free one, E slots that may go, H W pixels.
"""

from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from stremn.data.clips import VOID
from stremn.errors import InputError
from stremn.memory import DifferentiableMemory, MemoryState, Policy, Template, Trace, decide
from stremn.memory.incoming import Incoming
from stremn.memory.write import apply
from stremn.models.vos import Query, VOSNetwork
from stremn.tasks.segmenter import Segmenter, encoded
from stremn.tasks.vos import first_appearances, given_masks

Value = TypeVar("Value", MemoryState, Template)


@dataclass
class Choices:
    """What a greedy oracle did.

    Attributes:
        ids: object ids (T, H, W), 0 is background.
        held: frames that the slots hold after each write.
        changed: frames in which it chose another slot than the rule that it branches from.
    """

    ids: Tensor = field(default_factory=lambda: torch.empty(0))
    held: list[list[int]] = field(default_factory=list)
    changed: list[int] = field(default_factory=list)


@torch.no_grad()
def greedy(
    network: VOSNetwork,
    frames_T3HW: Tensor,
    masks_THW: Tensor,
    objects: int,
    policy: Policy,
    *,
    horizon: int,
    generator: torch.Generator | None = None,
) -> Choices:
    """Segment one clip, and at each write take the slot that is best for the next frames.

    Args:
        frames_T3HW: RGB in [0, 1].
        masks_THW: true ids 0…O of every frame.
        objects: O.
        policy: the rule that it branches from: it decides all further writes within the horizon, and wins a draw.
            ``newest`` leaves the other slots as they are; ``oldest`` soon drops whatever was kept, so that no
            choice shows. One decision for all objects.
        horizon: frames to look ahead, at least 1. Shorter than the time until an appearance returns, it cannot
            see what that template is good for.

    Costs ``horizon`` frames for each slot and frame.
    """
    if policy.per_object or horizon < 1:
        raise InputError(f"expected one decision for all objects and horizon ≥ 1, found horizon {horizon}")
    given_TO = first_appearances(masks_THW[None], objects)[0]
    clip = _Clip(
        network, frames_T3HW, encoded(network, frames_T3HW), masks_THW, given_TO.cumsum(0) > 0, given_TO
    )
    memory = _LooksAhead(policy, clip, horizon)
    segmenter, result, found = Segmenter(network, memory), Choices(), []
    for t in range(len(masks_THW)):
        found.append(clip.look(segmenter, t).argmax(1))
        clip.remember(segmenter, t, generator)
        result.held.append(memory.state.frame_index.amax(1)[0].tolist())
    result.ids, result.changed = torch.cat(found), memory.changed
    return result


@dataclass(frozen=True)
class _Clip:
    """One clip that E memories walk through side by side."""

    network: VOSNetwork
    frames_T3HW: Tensor
    queries: Query
    masks_THW: Tensor
    known_TO: Tensor
    given_TO: Tensor

    def look(self, segmenter: Segmenter, t: int) -> Tensor:
        """Log odds of frame t, (E, O + 1, H, W)."""
        rows = self._rows(segmenter, t)
        known, given = self.known_TO[rows], self.given_TO[rows]
        masks = given_masks(self.masks_THW[rows], given, self.frames_T3HW.shape[-2:])
        return segmenter.look(self.frames_T3HW[rows], known & ~given, masks, given, query=self.queries[rows])

    def remember(self, segmenter: Segmenter, t: int, generator: torch.Generator | None) -> None:
        """Write frame t into each memory."""
        rows = self._rows(segmenter, t)
        segmenter.remember(t, self.known_TO[rows], self.given_TO[rows], generator=generator)

    def quality(self, logits: Tensor, t: int) -> Tensor:
        """Mean J (E,) of the objects that are predicted in frame t, void apart; 0 where there are none."""
        ids = torch.arange(1, self.known_TO.shape[1] + 1, device=logits.device)
        ids = ids[self.known_TO[t] & ~self.given_TO[t]][:, None, None]
        scored = self.masks_THW[t] != VOID
        predicted, truth = (logits.argmax(1)[:, None] == ids) & scored, self.masks_THW[t] == ids
        union, both = ((predicted | truth).sum((-2, -1)), (predicted & truth).sum((-2, -1)))
        return torch.where(union > 0, both / union.clamp_min(1), 1.0).sum(1) / max(1, len(ids))

    def _rows(self, segmenter: Segmenter, t: int) -> Tensor:
        count = segmenter.memory.state.frame_index.shape[0] if segmenter.memory.slots else 1
        return torch.full((count,), t, device=self.masks_THW.device)


class _LooksAhead(DifferentiableMemory):
    """A memory that sees the frames that follow, and writes where that is best for them."""

    def __init__(self, policy: Policy, clip: _Clip, horizon: int) -> None:
        super().__init__(policy)
        self.clip, self.horizon = clip, horizon
        self.changed: list[int] = []

    def write(
        self, template: Template, *, generator: torch.Generator | None = None, trace: Trace | None = None
    ) -> None:
        """Into the slot of which the loss costs least within the horizon."""
        listening = _Listening(**vars(self.policy))
        weights_1OS = decide(self.state, template, listening, generator=generator, trace=trace)
        chosen, evicts = int(weights_1OS[0, 0].argmax()), bool(weights_1OS[0, 0, : self.state.slots].any())
        if evicts and template.frame < len(self.clip.masks_THW) - 1:
            others = listening.evictable[0][0, 0].nonzero()[:, 0].tolist()
            slot = self._best([chosen, *(s for s in others if s != chosen)], template, generator)
            if slot != chosen:
                self.changed.append(template.frame)
                weights_1OS = self._into([slot], template)
        self.state = apply(self.state, template, weights_1OS, self.policy)

    def _best(self, slots: list[int], template: Template, generator: torch.Generator | None) -> int:
        """Which of the slots (E) is best overwritten, by the mean J of the frames that follow; a draw: the first."""
        branches = DifferentiableMemory(self.policy)
        branches.state = apply(
            _repeated(self.state, len(slots)),
            _repeated(template, len(slots)),
            self._into(slots, template),
            self.policy,
        )
        segmenter = Segmenter(self.clip.network, branches)
        stop = min(template.frame + 1 + self.horizon, len(self.clip.masks_THW))
        total = torch.zeros(len(slots))
        for t in range(template.frame + 1, stop):
            total += self.clip.quality(self.clip.look(segmenter, t), t).cpu()
            if t < stop - 1:
                self.clip.remember(segmenter, t, generator)
        return slots[int(total.argmax())]

    def _into(self, slots: list[int], template: Template) -> Tensor:
        """Weights (E, O, S) that overwrite one slot each."""
        weights = F.one_hot(torch.tensor(slots), self.state.slots + 1)[:, None].to(template.value)
        return weights.expand(-1, template.present.shape[1], -1)


@dataclass(frozen=True)
class _Listening(Policy):
    """A rule that also says which slots it could have chosen."""

    evictable: list[Tensor] = field(default_factory=list, compare=False)

    def __call__(self, incoming: Incoming) -> Tensor:  # type: ignore[override]
        self.evictable.append(incoming.evictable)
        return super().__call__(incoming)


def _repeated(value: Value, count: int) -> Value:
    """The same for ``count`` clips of a batch."""
    tensors: dict[str, Any] = {
        name: tensor.expand(count, *tensor.shape[1:])
        for name, tensor in vars(value).items()
        if isinstance(tensor, Tensor) and tensor.dim()
    }
    return replace(value, **tensors)
