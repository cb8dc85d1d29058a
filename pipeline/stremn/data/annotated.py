"""Clips and images with masks: what the functions that open a dataset build, from its files. T frames, H W pixels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stremn.data.clips import VOID, Clip, Pixels, read_mask
from stremn.data.pictures import SUFFIXES, picture_files, read_image, size_text
from stremn.errors import InputError
from stremn.listing import by_stem, files_in

Pair = tuple[Path, Path | None]  # files of a frame's image and, where it is annotated, of its mask


@dataclass(frozen=True)
class ClipFiles:
    """One clip of a dataset.

    Attributes:
        name: of the clip, alone of that name in the dataset.
        frames: image and mask (None: not annotated) of every frame.
        ids: the objects that it may show; None: any.
        read_mask: from a mask's file to object ids uint8 (H, W).
        keep: once it is read, the decoded clip stays in memory.
    """

    name: str
    frames: Sequence[Pair]
    ids: Sequence[int] | None = None
    read_mask: Callable[[Path], Pixels] = read_mask
    keep: bool = False

    def read(self, frames: Sequence[int]) -> Clip:
        """Some frames, in the order given. Raises InputError for damage, another size, or an unknown id."""
        pairs = [self.frames[frame] for frame in frames]
        among = [image for image, _ in self.frames]
        images = [read_image(image, among) for image, _ in pairs]
        unknown = np.full(images[0].shape[:2], VOID, np.uint8)
        masks = [unknown if mask is None else self._known(mask) for _, mask in pairs]
        for (path, _), image, mask in zip(pairs, images, masks, strict=True):
            if image.shape != images[0].shape or mask.shape != image.shape[:2]:
                raise InputError(
                    f"expected one size within clip {self.name}, {size_text(images[0].shape)}, "
                    f"found image {size_text(image.shape)} and mask {size_text(mask.shape)} at {path}: resize the files"
                )
        stack = np.stack(masks)
        largest = int(stack.max(initial=0, where=stack != VOID)) if self.ids is None else max(self.ids)
        return Clip(self.name, np.stack(images), stack, largest)

    def _known(self, path: Path) -> Pixels:
        """A mask whose ids the clip may show."""
        mask = self.read_mask(path)
        strange = set() if self.ids is None else set(np.unique(mask).tolist()) - {0, VOID, *self.ids}
        if strange:
            raise InputError(
                f"expected the objects {', '.join(map(str, self.ids or ()))} of {self.name}, found "
                f"{', '.join(map(str, sorted(strange)))} in {path}: get the file again"
            )
        return mask


class Clips:
    """Annotated clips, read when they are asked for.

    Args:
        root: of the dataset, for messages.
        files: of every clip.
        annotations: the folder that holds a folder of masks for each clip, to score against; None: no one folder
            does.
    """

    def __init__(self, root: Path, files: Sequence[ClipFiles], annotations: Path | None = None) -> None:
        self.root, self.files, self.annotations = root, list(files), annotations
        self.names = [one.name for one in files]
        self._kept: dict[int, Clip] = {}

    @classmethod
    def join(cls, parts: Mapping[str, "Clips"]) -> "Clips":
        """Several datasets as one, for training; ``<dataset>/<clip>`` names a clip."""
        files = [
            replace(one, name=f"{name}/{one.name}") for name, part in parts.items() for one in part.files
        ]
        return cls(next(iter(parts.values())).root, files)

    def __len__(self) -> int:
        return len(self.files)

    def length(self, index: int) -> int:
        """Frames of a clip, without reading it."""
        return len(self.files[index].frames)

    def frame_names(self, index: int) -> list[str]:
        """File stem of every frame of a clip."""
        return [image.stem for image, _ in self.files[index].frames]

    def annotated(self, index: int) -> list[int]:
        """Numbers of the frames that have a mask, without reading any."""
        return [number for number, (_, mask) in enumerate(self.files[index].frames) if mask is not None]

    def __getitem__(self, index: int) -> Clip:
        """The whole clip."""
        if index in self._kept:
            return self._kept[index]
        clip = self.files[index].read(range(self.length(index)))
        if self.files[index].keep:
            self._kept[index] = clip
        return clip

    def take(self, index: int, frames: Sequence[int]) -> Clip:
        """Some frames of a clip, in the order given; only these are decoded where clips are not kept."""
        if not self.files[index].keep:
            return self.files[index].read(frames)
        clip, chosen = self[index], list(frames)
        return Clip(clip.name, clip.frames[chosen], clip.masks[chosen], clip.objects)


@dataclass(frozen=True)
class ImageFiles:
    """One image of a dataset.

    Attributes:
        name: of the image.
        image: its file.
        mask: gives its mask, uint8 (H, W) of ids from 1.
        read: from the image's file to uint8 (H, W, 3).
        keep: once it is read, the decoded image stays in memory.
    """

    name: str
    image: Path
    mask: Callable[[], Pixels]
    read: Callable[[Path], Pixels] = read_image
    keep: bool = False


class Images:
    """Images with masks, read when they are asked for.

    Args:
        root: of the dataset, for messages.
        files: of every image, at least one.
        left_out: images of the dataset that are not offered, for a reason that the opener states.
    """

    def __init__(self, root: Path, files: Sequence[ImageFiles], left_out: int = 0) -> None:
        if not files:
            raise InputError(f"expected images with masks in {root}, found none: unpack the data first")
        self.root, self.files, self.left_out = root, list(files), left_out
        self.names = [one.name for one in files]
        self._kept: dict[int, tuple[Pixels, Pixels]] = {}

    @classmethod
    def join(cls, parts: Sequence["Images"]) -> "Images":
        """Several datasets as one, the first one first."""
        files = [one for part in parts for one in part.files]
        return cls(parts[0].root, files, sum(part.left_out for part in parts))

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Pixels, Pixels]:
        """Image uint8 (H, W, 3) and mask uint8 (H, W)."""
        if index in self._kept:
            return self._kept[index]
        one = self.files[index]
        image, mask = one.read(one.image), one.mask()
        if image.shape[:2] != mask.shape:
            raise InputError(
                f"expected a mask of {size_text(image.shape)} for {one.image}, found {size_text(mask.shape)}: "
                "resize it, or get both files again"
            )
        if one.keep:
            self._kept[index] = (image, mask)
        return image, mask


def frame_files(folder: Path) -> list[Path]:
    """The images of a sequence, in natural order.

    Raises InputError when the folder is missing or empty, or two images have one name.
    """
    if not folder.is_dir():
        raise InputError(f"expected the frames of {folder.name} in {folder}, found no such folder: unpack it")
    images = picture_files(folder)
    if not images:
        raise InputError(f"expected frames (jpg or png) in {folder}, found none: remove the folder")
    return images


def pair_up(
    images: Sequence[Path], masks: Path, needed: Callable[[int, Path], bool] = lambda number, image: True
) -> list[Pair]:
    """Each image with the mask of its stem in a folder, or with None where there is none.

    Args:
        needed: of a frame's number and image: the mask must exist.

    Raises:
        InputError: a mask that is needed is missing, or a mask has no image.
    """
    found = by_stem(files_in(masks, SUFFIXES))
    lost = [image for t, image in enumerate(images) if image.stem not in found and needed(t, image)]
    if lost:
        raise InputError(
            f"expected a mask {masks / lost[0].stem}.png for {lost[0]}, found none "
            f"({len(lost)} missing in this sequence): unpack the annotations again"
        )
    stems = {image.stem for image in images}
    strange = [stem for stem in found if stem not in stems]
    if strange:
        raise InputError(
            f"expected a frame for the mask {found[strange[0]]}, found none beside {images[0]}: "
            "unpack the images again"
        )
    return [(image, found.get(image.stem)) for image in images]
