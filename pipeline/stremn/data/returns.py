"""Frames that show an object before it is lost, others after that, and its return: what a memory is for.

Frames cut a few apart, as training usually has them, hardly ever show an appearance together with its return many
frames later, so that a network trained on them has no reason to tell appearances apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from stremn.data.annotated import Clips
from stremn.data.appearances import Truth, find_truths

AFTER = 16  # frames from a return on of which the last frames are taken


@dataclass(frozen=True)
class Returns:
    """Draws frames of a return, of clips that know their appearances.

    Args:
        truths: of each clip; None: it does not know, and has no returns.
        late: how many of the frames lie after the return.
    """

    truths: Sequence[Truth | None]
    late: int = 2
    events: list[list[tuple[int, int]]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        found = [[] if truth is None else _events(truth.shown[:, 0]) for truth in self.truths]
        object.__setattr__(self, "events", found)

    @classmethod
    def of(cls, clips: Clips, late: int = 2) -> "Returns":
        """Of clips, by what lies beside each of them."""
        return cls(find_truths(clips), late)

    def draw(self, rng: np.random.Generator, clip: int, frames: int) -> list[int] | None:
        """Frames of a clip, increasing: the first shows what comes back, the last ``late`` follow the return.

        Args:
            clip: its number.
            frames: how many, at least ``late`` + 1.

        Returns None where the clip has no return with so many frames before it.
        """
        truth, events = self.truths[clip], self.events[clip]
        if truth is None or not events:
            return None
        back, appearance = events[rng.integers(len(events))]
        shows = truth.useful[:back, 0] & (truth.shown[:back, 0] == appearance)
        between = frames - 1 - self.late
        before = np.flatnonzero(shows)
        before = before[before + between < back]
        if not len(before):
            return None
        first = int(rng.choice(before))
        middle = np.sort(rng.choice(np.arange(first + 1, back), between, replace=False))
        after = np.arange(back, min(back + AFTER, len(truth.shown)))
        last = np.sort(rng.choice(after, min(self.late, len(after)), replace=False))
        chosen = [first, *middle.tolist(), *last.tolist()]
        return chosen if len(chosen) == frames else None


def _events(shown_T: np.ndarray) -> list[tuple[int, int]]:
    """Frame and appearance of each return after the object was out of sight, in another appearance before."""
    found, last = [], -1
    for frame, appearance in enumerate(shown_T.tolist()):
        if appearance >= 0:
            gone = frame > 0 and shown_T[frame - 1] < 0
            if gone and appearance != last and appearance in shown_T[:frame]:
                found.append((frame, appearance))
            last = appearance
    return found
