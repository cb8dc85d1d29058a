"""What an update rule could reach that sees which appearance every frame shows: Belady's rule.

The template whose appearance is needed latest goes (Belady, A study of replacement algorithms for a virtual-storage
computer, IBM Systems Journal 1966). A bound for every other rule on clips that know their appearances; on other
clips see ``greedy``.

Letters: B clips, T frames, O objects, D rows of decisions (1 or O), S slots and a free one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from stremn.data.appearances import Truth, needed_in
from stremn.errors import InputError
from stremn.memory import Policy
from stremn.memory.incoming import Incoming
from stremn.memory.policy import Entry
from stremn.memory.slot_rules import best, when_full

ORACLE, TITLE = "oracle", "Oracle, sees the truth"


@dataclass(frozen=True)
class Belady(Policy):
    """Belady's rule on clips that know their appearances, as a policy for ``tasks.vos.rollout``.

    Slots that show no object and duplicates go first (the oldest of them), then the appearance needed latest.

    Attributes:
        truths: what each clip of the batch shows.
    """

    truths: tuple[Truth, ...] = field(default=(), compare=False)

    def of(self, clips: Sequence[int]) -> "Belady":
        """The rule for some of the clips, by their place."""
        return replace(self, truths=tuple(self.truths[clip] for clip in clips))

    @property
    def entry(self) -> Entry:
        """Not one of ``POLICIES``: no stream could follow it."""
        return Entry(when_full(self._evict), TITLE, "Belady 1966", fixed=True)

    def __call__(self, incoming: Incoming) -> Tensor:  # type: ignore[override]
        """Weights (B, D, S) of Eq. 4."""
        return self.entry.rule(incoming)

    def _evict(self, incoming: Incoming) -> Tensor:
        held = incoming.held
        if len(self.truths) != held.shape[0]:
            raise InputError(
                f"expected what is shown in each of {held.shape[0]} clips, found {len(self.truths)}: give one each"
            )
        scores = torch.full(held.shape, -torch.inf, dtype=torch.float64)
        for clip, truth in enumerate(self.truths):
            for row in range(held.shape[1]):
                frames = held[clip, row].tolist()
                columns = list(range(truth.shown.shape[1])) if held.shape[1] == 1 else [row]
                for slot, frame in enumerate(frames):
                    if frame >= 0:
                        others = [f for s, f in enumerate(frames) if s != slot and f >= 0] + [incoming.frame]
                        late = needed_in(truth, frame, others, incoming.frame, columns)
                        scores[clip, row, slot] = late + (incoming.frame - frame) / 1e5
        order = scores.argsort(-1).argsort(-1)  # ranks, which single precision holds exactly
        return best(order.to(held.device), incoming.evictable)


def belady(truths: list[Truth], slots: int, *, protect_first: bool = True) -> Belady:
    """Belady's rule for a batch of clips that show this."""
    return Belady(ORACLE, slots=slots, protect_first=protect_first, truths=tuple(truths))
