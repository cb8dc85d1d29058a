"""What generated clips know of each frame: which of its appearances an object shows, and whether the frame tells it.

T frames, O objects. Beside the clips' ``JPEGImages`` and ``Annotations`` lies ``Appearances/<clip>.json``.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stremn.errors import InputError, short_reason
from stremn.files import load_json, replacing

APPEARANCES = "Appearances"


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


def write_truth(root: Path | str, name: str, truth: Truth) -> None:
    """Write what a clip shows beside it, atomically."""
    folder = Path(root) / APPEARANCES
    folder.mkdir(exist_ok=True)
    form = {"shown": truth.shown.tolist(), "worthless": truth.worthless.astype(int).tolist()}
    with replacing(folder / f"{name}.json") as scratch:
        scratch.write_text(json.dumps(form), encoding="utf-8")


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
