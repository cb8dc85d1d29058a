"""Masks of a whole video in little memory, and masks on disk that are read when they are seen."""

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stremn.data.clips import Pixels, read_mask
from stremn.data.pictures import SUFFIXES
from stremn.errors import InputError
from stremn.listing import files_in


class Masks:
    """Object ids (H, W) of each frame, packed; a list that grows. About 1 % of the unpacked size."""

    def __init__(self) -> None:
        self._packed: list[tuple[bytes, tuple[int, ...]]] = []

    def __len__(self) -> int:
        return len(self._packed)

    def __getitem__(self, number: int) -> Pixels:
        data, shape = self._packed[number]
        return np.frombuffer(zlib.decompress(data), np.uint8).reshape(shape)

    def append(self, ids: NDArray[np.integer]) -> None:
        """Add the next frame's ids, 0…255."""
        small = np.ascontiguousarray(ids, np.uint8)
        self._packed.append((zlib.compress(small.tobytes(), 1), small.shape))

    def until(self, frame: int) -> "Masks":
        """A list of its own with the frames before ``frame``; nothing is copied."""
        part = Masks()
        part._packed = self._packed[:frame]
        return part


class MaskFolder(Sequence[Pixels]):
    """Masks of a folder in natural order, read when they are asked for."""

    def __init__(self, path: Path) -> None:
        self.files = files_in(path, SUFFIXES)
        if not self.files:
            raise InputError(f"expected masks (png) in the folder {path}, found none")

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number):  # type: ignore[no-untyped-def]
        return read_mask(self.files[number])


def first_seen(truth: Sequence[Pixels] | Pixels) -> dict[int, Pixels]:
    """Frame → the ids of the objects that are first seen there (H, W): what a system is given (DAVIS 2017)."""
    given: dict[int, Pixels] = {}
    known: set[int] = set()
    for number in range(len(truth)):
        ids = np.asarray(truth[number])
        new = set(np.unique(ids).tolist()) - known - {0, 255}
        if new:
            given[number] = np.where(np.isin(ids, list(new)), ids, 0).astype(np.uint8)
            known |= new
    return given
