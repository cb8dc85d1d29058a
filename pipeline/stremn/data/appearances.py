"""What generated clips know of each frame: which of its appearances an object shows, and whether the frame tells it.

T frames, O objects. Beside the clips' ``JPEGImages`` and ``Annotations`` lies ``Appearances/<clip>.json``.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stremn.data.annotated import Clips
from stremn.errors import InputError, short_reason
from stremn.files import load_json, replacing

APPEARANCES = "Appearances"
# Above all distances in frames, so that the order of the kinds is kept.
WORTHLESS, DUPLICATE, NEVER_AGAIN = 3e9, 2e9, 1e9


@dataclass(frozen=True)
class Truth:
    """What a clip shows.

    Attributes:
        shown: int (T, O), number of the appearance that each object shows; −1 while it is out of sight or turns
            from one to the next.
        worthless: boolean (T, O), the frame tells nothing of the object's appearance.
    """

    shown: NDArray[np.integer]
    worthless: NDArray[np.bool_]

    @property
    def useful(self) -> NDArray[np.bool_]:
        """Boolean (T, O): a template of the frame helps to know the object again."""
        return ~self.worthless & (self.shown >= 0)


def needed_in(truth: Truth, frame: int, others: Sequence[int], now: int, columns: Iterable[int]) -> float:
    """In how many frames a template is needed, for that of its objects which needs it first; Belady's rule: most, it goes.

    A template without use goes before a duplicate, that before one whose look never comes again.

    Args:
        truth: what the clip shows.
        frame: that the template shows.
        others: frames of the other templates, the incoming one among them.
        now: the incoming frame.
        columns: objects that the template serves, of the columns of ``truth``.
    """
    return min(_needed_in(truth.shown[:, o], truth.useful[:, o], frame, others, now) for o in columns)


def _needed_in(
    shown_T: NDArray[np.integer], useful_T: NDArray[np.bool_], frame: int, others: Sequence[int], now: int
) -> float:
    if not useful_T[frame]:
        return WORTHLESS
    if any(useful_T[other] and shown_T[other] == shown_T[frame] for other in others):
        return DUPLICATE
    again = np.flatnonzero(shown_T[now + 1 :] == shown_T[frame])
    return float(again[0]) if len(again) else NEVER_AGAIN


def write_truth(root: Path | str, name: str, truth: Truth) -> None:
    """Write what a clip shows beside it, atomically."""
    folder = Path(root) / APPEARANCES
    folder.mkdir(exist_ok=True)
    form = {"shown": truth.shown.tolist(), "worthless": truth.worthless.astype(int).tolist()}
    with replacing(folder / f"{name}.json") as scratch:
        scratch.write_text(json.dumps(form), encoding="utf-8")


def find_truths(clips: Clips) -> list[Truth | None]:
    """What each of the clips shows; None for one of which nothing is said beside the clips."""
    return [_find_truth(one.frames[0][0]) for one in clips.files]


def _find_truth(frame: Path) -> Truth | None:
    clip, root = frame.parent.name, frame.parent.parent.parent
    return read_truth(root, clip) if (root / APPEARANCES / f"{clip}.json").is_file() else None


def truths_of(clips: Clips) -> list[Truth]:
    """What each of the clips shows. Raises InputError where one of them does not know."""
    truths = find_truths(clips)
    known = [truth for truth in truths if truth is not None]
    if len(known) < len(truths):
        raise InputError(
            f"expected clips that know their appearances in {clips.root}, found {len(truths) - len(known)} that do not: "
            "an oracle needs generated clips, `kind: recurring`"
        )
    return known


def read_truth(root: Path | str, name: str) -> Truth:
    """What ``write_truth`` wrote of a clip. Raises InputError when it is not there."""
    path = Path(root) / APPEARANCES / f"{name}.json"
    if not path.is_file():
        raise InputError(
            f"expected the appearances of clip {name} at {path}, found none: make the clips again"
        )
    form = load_json(path, "the appearances of a clip")
    try:
        return Truth(np.array(form["shown"], int), np.array(form["worthless"], bool))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"expected the appearances of a clip in {path}, found: {short_reason(error)}"
        ) from None
