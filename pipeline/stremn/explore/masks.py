"""Masks of a whole video in little memory, and masks on disk that are read when they are seen."""

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stremn.data.clips import Pixels, read_mask
from stremn.data.pictures import SUFFIXES
from stremn.errors import InputError
from stremn.listing import files_in


class Masks:
    """Object ids, or opacities, uint8 (H, W) of each frame, packed; a list that grows. About 1 % of the unpacked size."""

    def __init__(self) -> None:
        self._packed: list[tuple[bytes, tuple[int, ...]]] = []

    def __len__(self) -> int:
        return len(self._packed)

    def __getitem__(self, number: int) -> Pixels:
        data, shape = self._packed[number]
        return np.frombuffer(zlib.decompress(data), np.uint8).reshape(shape)

    def append(self, ids: NDArray[np.integer]) -> None:
        """Add the next frame's values, 0…255."""
        small = np.ascontiguousarray(ids, np.uint8)
        self._packed.append((zlib.compress(small.tobytes(), 1), small.shape))

    def same(self, other: object) -> bool:
        """Whether another such list has the same frames."""
        return isinstance(other, Masks) and self._packed == other._packed

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


class Given:
    """Masks that a run is given, the first frame's among them.

    Args:
        masks: frame → ids (H, W), 0: none of them.
        size: (H, W) of the frames.

    Attributes:
        masks: the same, in the order of the frames.

    Raises:
        InputError: no object in frame 0, or a mask of another size.
    """

    def __init__(self, masks: Mapping[int, Pixels], size: tuple[int, int]) -> None:
        self.masks = {frame: np.asarray(masks[frame]) for frame in sorted(masks)}
        self._size = size
        if not self.masks.get(0, np.zeros(1)).any():
            raise InputError(
                "expected a mask with at least one object for frame 0, found none: draw or give one"
            )
        wrong = [f for f, ids in self.masks.items() if ids.shape != size]
        if wrong:
            raise InputError(
                f"expected masks of the frames' size {size}, found {self.masks[wrong[0]].shape} for frame "
                f"{wrong[0]}; resize it"
            )

    def objects(self, frame: int) -> list[int]:
        """Ids of the objects that have appeared before ``frame``, in the order of their appearance."""
        found: list[int] = []
        for number, ids in self.masks.items():
            if number < frame:
                found += [i for i in np.unique(ids).tolist() if i and i not in found]
        return found

    @property
    def all_objects(self) -> list[int]:
        """Ids of all objects that ever appear."""
        return self.objects(1 + max(self.masks))

    def without_known(self, masks: Mapping[int, Pixels]) -> dict[int, Pixels]:
        """Those of ``masks`` that are not given already."""
        return {f: ids for f, ids in masks.items() if not np.array_equal(ids, self.masks.get(f, ()))}

    def joined(self, masks: Mapping[int, Pixels]) -> "Given":
        """These and others; of two masks for a frame the new one."""
        return Given({**self.masks, **masks}, self._size)

    def same(self, other: "Given") -> bool:
        """Whether the masks are equal."""
        return self.masks.keys() == other.masks.keys() and not self.without_known(other.masks)


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
