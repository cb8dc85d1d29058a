"""Opening what the data stage prepared: each place holds a note of the dataset, generated or used where it lies."""

import json
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from stremn import paths
from stremn.data.clips import Clip, ClipFolder
from stremn.data.datasets import open_clips, open_images, open_videos
from stremn.data.images import StaticFolder
from stremn.data.videos import Videos
from stremn.errors import InputError
from stremn.files import replacing
from stremn.settings import Settings

SOURCE = "source.json"
T = TypeVar("T")


class Source(Settings):
    """A dataset in its official layout, used in place and never copied.

    Attributes:
        dataset: entry of ``data.datasets.DATASETS``.
        path: where it lies, below the repository's root or absolute; None: where ``stremn data get`` puts it.
        split: of the dataset; None: its default.
        options: of its opener, see ``data.datasets``.
    """

    dataset: str
    path: str | None = None
    split: str | None = None
    options: dict[str, Any] = {}


def write_source(place: Path, source: Source, folder: Path | None = None, sha256: str = "") -> None:
    """Note at ``place`` that the data are those of ``source``.

    Args:
        folder: where they lie, absolute or below the repository's root; None: generated, ``place`` is the folder of
            the split, or of the whole dataset where it has none.
        sha256: of the content, so that what depends on the note runs again when the data have changed.
    """
    place.mkdir(parents=True, exist_ok=True)
    form = {
        **source.model_dump(include={"dataset", "split", "options"}),
        "folder": None if folder is None else str(folder),
        "sha256": sha256,
    }
    with replacing(place / SOURCE) as scratch:
        scratch.write_text(json.dumps(form, indent=1), encoding="utf-8")


def _opened(opener: Callable[..., T], place: Path) -> T:
    """The dataset noted at a place. Raises InputError when there is no note, or a damaged one."""
    path = place / SOURCE
    try:
        form = json.loads(path.read_text(encoding="utf-8"))
        name, split, options = str(form["dataset"]), form["split"], dict(form["options"])
        own = place.parent if split else place
        folder = own if form["folder"] is None else paths.find_root(place) / form["folder"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"expected a dataset noted in {path}, found {error!r}: run the data stage again"
        ) from error
    return opener(name, folder, split, **options)


class JoinedClips(ClipFolder):
    """Several sets of annotated clips as one, for training; a name says which set it is of."""

    def __init__(self, parts: Mapping[str, ClipFolder]) -> None:
        self.root = next(iter(parts.values())).root
        self.names = [f"{name}/{clip}" for name, part in parts.items() for clip in part.names]
        self._at = [(part, index) for part in parts.values() for index in range(len(part))]

    @property
    def annotations(self) -> Path:
        """Not one folder: InputError."""
        raise InputError(
            "expected one dataset to be scored, found several joined: name one for the test clips"
        )

    def length(self, index: int) -> int:
        part, inside = self._at[index]
        return part.length(inside)

    def frame_names(self, index: int) -> list[str]:
        part, inside = self._at[index]
        return part.frame_names(inside)

    def annotated(self, index: int) -> list[int]:
        part, inside = self._at[index]
        return part.annotated(inside)

    def __getitem__(self, index: int) -> Clip:
        part, inside = self._at[index]
        return part[inside]

    def take(self, index: int, frames: Sequence[int]) -> Clip:
        part, inside = self._at[index]
        return part.take(inside, frames)


def clips(place: Path) -> ClipFolder:
    """Annotated clips at a place of the data stage's output: one dataset, or several joined."""
    several = sorted(path.parent for path in place.glob(f"*/{SOURCE}"))
    if several:
        return JoinedClips({part.name: clips(part) for part in several})
    return _opened(open_clips, place)


class JoinedImages(StaticFolder):
    """Several sets of images with masks as one, the first set first."""

    def __init__(self, parts: Sequence[StaticFolder]) -> None:
        self.parts = parts
        self.names = [name for part in parts for name in part.names]
        self._ends = list(accumulate(len(part) for part in parts))

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 (H, W, 3) and mask uint8 (H, W)."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        at = bisect_right(self._ends, index)
        return self.parts[at][index - (self._ends[at - 1] if at else 0)]


def images(place: Path) -> StaticFolder:
    """Images with masks at a place of the data stage's output: one dataset, or several joined."""
    several = sorted(path.parent for path in place.glob(f"*/{SOURCE}"))
    if several:
        return JoinedImages([images(part) for part in several])
    return _opened(open_images, place)


def videos(place: Path) -> Videos:
    """Videos for prediction at a place of the data stage's output."""
    return _opened(open_videos, place)
