"""What an update rule could reach that sees the future: bounds for every other rule.

Two oracles. ``Belady`` knows which appearance every frame shows and drops the template whose appearance is needed
latest (Belady, A study of replacement algorithms, IBM Systems Journal 1966). ``greedy`` needs no more than true
masks: it tries every slot, looks some frames ahead with each, and keeps the best.

Letters: B clips, T frames, O objects, D rows of decisions (1 or O), S slots and a free one, E slots that may go,
H W pixels.
"""

from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from stremn.errors import InputError
from stremn.memory import MemoryState, Policy, Template, decide, write
from stremn.memory.incoming import Incoming
from stremn.memory.policies import Entry
from stremn.memory.slot_rules import best, when_full
from stremn.memory.write import apply
from stremn.models.vos import Query, VOSNetwork
from stremn.tasks.vos import (
    _frame_logits,
    cropped,
    first_appearances,
    memorise,
    one_hot,
    padded,
    padding,
    to_memorise,
)

Value = TypeVar("Value", MemoryState, Template)
TITLE = "Oracle, sees the truth"
# Scores of a slot, the highest goes: above all distances in frames, so that the order of the kinds is kept.
WORTHLESS, DUPLICATE, NEVER_AGAIN = 3e9, 2e9, 1e9


@dataclass(frozen=True)
class Schedule:
    """What one clip shows, as generated clips know it.

    Attributes:
        shown: int (T, O), the appearance that each object shows, −1 for none.
        worthless: boolean (T, O), the frame tells nothing of the object's appearance.
    """

    shown: NDArray[np.integer]
    worthless: NDArray[np.bool_]

    def distance(self, slot: int, others: list[int], now: int, objects: list[int]) -> float:
        """How late a slot is needed, for that of the objects which needs it first; the highest may go.

        Args:
            slot: frame that the slot holds.
            others: frames that the other slots hold, the incoming one among them.
            now: the incoming frame.
            objects: columns that the slot serves.
        """
        return min(self._of_object(slot, others, now, column) for column in objects)

    def _of_object(self, slot: int, others: list[int], now: int, column: int) -> float:
        shown, useful = self.shown[:, column], ~self.worthless[:, column] & (self.shown[:, column] >= 0)
        if not useful[slot]:
            return WORTHLESS
        if any(useful[other] and shown[other] == shown[slot] for other in others):
            return DUPLICATE
        again = np.flatnonzero(shown[now + 1 :] == shown[slot])
        return float(again[0]) if len(again) else NEVER_AGAIN


@dataclass(frozen=True)
class Belady(Policy):
    """Belady's rule on clips that know their appearances, as a policy for ``tasks.vos.rollout``.

    Slots that show no object and duplicates go first (the oldest of them), then the appearance needed latest.

    Attributes:
        schedules: one for each clip of the batch.
    """

    schedules: tuple[Schedule, ...] = field(default=(), compare=False)

    @property
    def entry(self) -> Entry:
        """Not one of ``POLICIES``: no stream could follow it."""
        return Entry(when_full(self._evict), TITLE, "Belady 1966", fixed=True)

    def __call__(self, incoming: Incoming) -> Tensor:  # type: ignore[override]
        """Weights (B, D, S) of Eq. 4."""
        return self.entry.rule(incoming)

    def _evict(self, incoming: Incoming) -> Tensor:
        held = incoming.held
        if len(self.schedules) != held.shape[0]:
            raise InputError(
                f"expected a schedule for each of {held.shape[0]} clips, found {len(self.schedules)}: give one each"
            )
        scores = torch.full(held.shape, -torch.inf, dtype=torch.float64)
        for clip, schedule in enumerate(self.schedules):
            for row in range(held.shape[1]):
                frames = held[clip, row].tolist()
                columns = list(range(schedule.shown.shape[1])) if held.shape[1] == 1 else [row]
                for slot, frame in enumerate(frames):
                    if frame >= 0:
                        others = [f for s, f in enumerate(frames) if s != slot and f >= 0] + [incoming.frame]
                        late = schedule.distance(frame, others, incoming.frame, columns)
                        scores[clip, row, slot] = late + (incoming.frame - frame) / 1e5
        order = scores.argsort(-1).argsort(-1)  # ranks, which single precision holds exactly
        return best(order.to(held.device), incoming.evictable)


def belady(schedules: list[Schedule], slots: int, *, protect_first: bool = True) -> Belady:
    """Belady's rule for a batch of clips of these schedules."""
    return Belady("oracle", slots=slots, protect_first=protect_first, schedules=tuple(schedules))


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


@dataclass(frozen=True)
class _Listening(Policy):
    """A rule that also says which slots it could have chosen."""

    evictable: list[Tensor] = field(default_factory=list, compare=False)

    def __call__(self, incoming: Incoming) -> Tensor:  # type: ignore[override]
        self.evictable.append(incoming.evictable)
        return super().__call__(incoming)


@dataclass(frozen=True)
class _Clip:
    """One clip, its frames encoded."""

    network: VOSNetwork
    queries: Query
    masks_THW: Tensor
    known_TO: Tensor
    given_TO: Tensor
    pad: tuple[int, int, int, int]
    generator: torch.Generator | None

    def look(self, state: MemoryState, t: int) -> Tensor:
        """Log odds (E, O + 1, H, W) of frame t, for E memories."""
        count = max(1, state.frame_index.shape[0])
        rows = torch.full((count,), t, device=self.masks_THW.device)
        known, given = self.known_TO[rows], self.given_TO[rows]
        return _frame_logits(
            self.network, self.queries[rows], state, self.masks_THW[rows], known, given, None, self.generator
        )

    def template(self, logits: Tensor, t: int) -> Template:
        """Frame t on its way into each of E memories."""
        rows = torch.full((logits.shape[0],), t, device=logits.device)
        masks = to_memorise(self.network, logits, self.pad)
        return memorise(self.network, self.queries[rows], masks, t, self.known_TO[rows], self.given_TO[rows])

    def quality(self, logits: Tensor, t: int) -> Tensor:
        """Mean J (E,) of the objects that are known and not given at frame t; 0 where there are none."""
        counts = self.known_TO[t] & ~self.given_TO[t]
        objects = len(counts)
        ids = cropped(logits, self.pad).argmax(1)
        predicted = one_hot(ids, objects).bool()
        truth = one_hot(cropped(self.masks_THW[t : t + 1], self.pad), objects).bool()
        union = (predicted | truth).flatten(2).sum(-1)
        both = (predicted & truth).flatten(2).sum(-1)
        j = torch.where(union > 0, both / union.clamp_min(1), 1.0)
        return j[:, counts].sum(1) / max(1, int(counts.sum()))


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
    clip = _encoded(network, frames_T3HW, masks_THW, objects, generator)
    state, result, found = MemoryState.empty(), Choices(), []
    listening = _Listening(**vars(policy))
    for t in range(len(frames_T3HW)):
        logits = clip.look(state, t)
        found.append(cropped(logits, clip.pad).argmax(1))
        template = clip.template(logits, t)
        listening.evictable.clear()
        weights_1OS = decide(state, template, listening, generator=generator)
        chosen = int(weights_1OS[0, 0].argmax())
        if t < len(frames_T3HW) - 1 and chosen < state.slots and bool(weights_1OS.any()):
            slots = listening.evictable[0][0, 0].nonzero()[:, 0].tolist()
            choice = _best_slot(
                clip, state, template, [chosen, *(s for s in slots if s != chosen)], policy, horizon
            )
            if choice != chosen:
                result.changed.append(t)
                weights_1OS = F.one_hot(torch.tensor([choice]), weights_1OS.shape[-1]).expand_as(weights_1OS)
        state = apply(state, template, weights_1OS.float(), per_object=False)
        result.held.append(state.frame_index.amax(1)[0].tolist())
    result.ids = torch.cat(found)
    return result


def _encoded(
    network: VOSNetwork,
    frames_T3HW: Tensor,
    masks_THW: Tensor,
    objects: int,
    generator: torch.Generator | None,
) -> _Clip:
    pad = padding(frames_T3HW.shape[-2], frames_T3HW.shape[-1], network.stride)
    given_TO = first_appearances(masks_THW[None], objects)[0]
    return _Clip(
        network,
        network.encode_query(padded(network, frames_T3HW, pad)),
        F.pad(masks_THW, pad),
        given_TO.cumsum(0) > 0,
        given_TO,
        pad,
        generator,
    )


def _best_slot(
    clip: _Clip, state: MemoryState, template: Template, slots: list[int], policy: Policy, horizon: int
) -> int:
    """Which of the slots (E) is best overwritten, by the mean J of the frames that follow; a draw: the first."""
    count = len(slots)
    weights_EOS = F.one_hot(torch.tensor(slots), state.slots + 1)[:, None].float()
    weights_EOS = weights_EOS.expand(-1, template.present.shape[1], -1)
    states = apply(_repeated(state, count), _repeated(template, count), weights_EOS, per_object=False)
    stop = min(template.frame + 1 + horizon, len(clip.masks_THW))
    total = torch.zeros(count)
    for t in range(template.frame + 1, stop):
        logits = clip.look(states, t)
        total += clip.quality(logits, t).cpu()
        if t < stop - 1:
            states = write(states, clip.template(logits, t), policy, generator=clip.generator)
    return slots[int(total.argmax())]


def _repeated(value: Value, count: int) -> Value:
    """The same for ``count`` clips of a batch."""
    tensors: dict[str, Any] = {
        name: tensor.expand(count, *tensor.shape[1:])
        for name, tensor in vars(value).items()
        if isinstance(tensor, Tensor) and tensor.dim()
    }
    return replace(value, **tensors)
