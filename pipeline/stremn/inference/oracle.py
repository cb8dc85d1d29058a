"""What an update rule could reach that sees which appearance every frame shows: Belady's rule.

The template whose appearance is needed latest goes (Belady, A study of replacement algorithms for a virtual-storage
computer, IBM Systems Journal 1966). A bound for every other rule on clips that know their appearances; on other
clips see ``greedy``.

Letters: B clips, T frames, O objects, D rows of decisions (1 or O), S slots and a free one.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stremn.errors import InputError
from stremn.memory import Policy
from stremn.memory.incoming import Incoming
from stremn.memory.policy import Entry
from stremn.memory.slot_rules import best, when_full

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
