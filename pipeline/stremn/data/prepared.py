"""What the data stage left: generated files, or the name of a dataset that is used where it lies."""

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from stremn import paths
from stremn.data.clips import Clip, ClipFolder
from stremn.data.datasets import open_clips, open_images
from stremn.data.images import StaticFolder
from stremn.errors import InputError
from stremn.files import replacing
from stremn.settings import Settings

SOURCE = "source.json"


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


def write_source(place: Path, source: Source, folder: Path, sha256: str = "") -> None:
    """Note at ``place`` that the data are those of ``source``, which lies in ``folder``.

    sha256: of the content, so that what depends on the note runs again when the data have changed.
    """
    place.mkdir(parents=True, exist_ok=True)
    form = {
        **source.model_dump(include={"dataset", "split", "options"}),
        "folder": str(folder),
        "sha256": sha256,
    }
    with replacing(place / SOURCE) as scratch:
        scratch.write_text(json.dumps(form, indent=1), encoding="utf-8")


def read_source(place: Path) -> tuple[str, Path, str | None, dict[str, Any]] | None:
    """Name, folder, split and options of the dataset noted at a place; None: the files are there themselves.

    A folder noted as a relative path is below the repository's root.
    """
    path = place / SOURCE
    if not path.is_file():
        return None
    try:
        form = json.loads(path.read_text(encoding="utf-8"))
        folder = paths.find_root(place) / form["folder"]
        return str(form["dataset"]), folder, form["split"], dict(form["options"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"expected a dataset noted in {path}, found {error!r}: run the data stage again"
        ) from error


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
    """Annotated clips at a place of the data stage's output: generated, one dataset, or several joined."""
    several = sorted(path.parent for path in place.glob(f"*/{SOURCE}"))
    if several:
        return JoinedClips({part.name: clips(part) for part in several})
    noted = read_source(place)
    if noted is None:
        return ClipFolder(place)
    name, folder, split, options = noted
    return open_clips(name, folder, split, **options)


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
    """Images with masks at a place of the data stage's output: generated, one dataset, or several joined."""
    several = sorted(path.parent for path in place.glob(f"*/{SOURCE}"))
    if several:
        return JoinedImages([images(part) for part in several])
    noted = read_source(place)
    if noted is None:
        return StaticFolder(place)
    name, folder, split, options = noted
    return open_images(name, folder, split, **options)
