"""Clips given by lists of files, where a frame may lack a mask. T frames, H W pixels."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from stremn.data.clips import VOID, ClipFolder, Pair, Pixels, frame_files, read_mask
from stremn.errors import InputError


class ListedClips(ClipFolder):
    """A ``ClipFolder`` whose sequences and files were found by somebody else.

    Args:
        root: of the dataset, for messages.
        annotations: the folder that holds a folder of masks for each sequence.
        files: image and mask (None: not annotated) of every frame, by sequence.
        objects: the ids that each sequence may show; None: any.
        convert: from a mask as read, (H, W), to object ids; None: as it is.
        cache: keep decoded clips in memory.

    Reading raises InputError for an id that the sequence does not have.
    """

    def __init__(
        self,
        root: Path,
        annotations: Path,
        files: Mapping[str, Sequence[Pair]],
        *,
        objects: Mapping[str, Sequence[int]] | None = None,
        convert: Callable[[Pixels], Pixels] | None = None,
        cache: bool = False,
    ) -> None:
        self.root, self.names = root, list(files)
        self._folder, self._ids, self._convert = annotations, objects, convert
        self._hold(list(files.values()), cache)

    @property
    def annotations(self) -> Path:
        """The folder that holds a folder of masks for each sequence."""
        return self._folder

    def _mask(self, index: int, path: Path) -> Pixels:
        mask = read_mask(path) if self._convert is None else self._convert(read_mask(path))
        if self._ids is not None:
            known = self._ids[self.names[index]]
            strange = set(np.unique(mask).tolist()) - {0, VOID, *known}
            if strange:
                raise InputError(
                    f"expected the objects {', '.join(map(str, known))} of {self.names[index]}, found "
                    f"{', '.join(map(str, sorted(strange)))} in {path}: get the file again"
                )
        return mask

    def _objects(self, index: int, masks: Pixels) -> int:
        return super()._objects(index, masks) if self._ids is None else max(self._ids[self.names[index]])


def image_files(images: Path, name: str) -> list[Path]:
    """The frames of a sequence. Raises InputError when the folder is missing or empty."""
    if not (images / name).is_dir():
        raise InputError(f"expected the frames of {name} in {images / name}, found no such folder: unpack it")
    return frame_files(images / name)


def pair_up(images: Sequence[Path], masks: Path, needed: Callable[[int, Path], bool]) -> list[Pair]:
    """Each image with the mask of its stem in a folder, or with None where there is none.

    Args:
        needed: of a frame's number and image: the mask must exist.

    Raises InputError for a missing mask that is needed, and for a mask without an image.
    """
    there = {path.stem: path for path in masks.glob("*.png")} if masks.is_dir() else {}
    lost = [image for t, image in enumerate(images) if image.stem not in there and needed(t, image)]
    if lost:
        raise InputError(
            f"expected a mask {masks / lost[0].stem}.png for {lost[0]}, found none "
            f"({len(lost)} missing in this sequence): unpack the annotations again"
        )
    strange = sorted(set(there) - {image.stem for image in images})
    if strange:
        raise InputError(
            f"expected a frame for the mask {there[strange[0]]}, found none beside {images[0]}: "
            "unpack the images again"
        )
    return [(image, there.get(image.stem)) for image in images]
