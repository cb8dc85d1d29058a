"""Video files and folders of images as streams of frames, one frame in memory at a time. H W pixels."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from stremn.data.clips import Pixels, explained_mask, without_void
from stremn.data.frames import FOLDER_RATE, Frames
from stremn.data.mask_colours import palette, stored
from stremn.data.pictures import decoded, one_size, picture_files, read_image, size_text
from stremn.data.video_file import VideoFile
from stremn.errors import InputError, warn
from stremn.listing import files_in, some


class ImageFolder(Frames):
    """Images of a folder in natural order (``2.png`` before ``10.png``), named by their stems.

    Args:
        path: the folder.
        without: files that are no frames, should they lie in it (masks).
    """

    def __init__(self, path: Path, without: Iterable[Path | str] = ()) -> None:
        aside = {Path(one).name for one in without if Path(one).parent.resolve() == path.resolve()}
        self.files = picture_files(path, aside)
        if not self.files:
            others = [file.name for file in files_in(path)]
            raise InputError(
                f"expected images in the folder {path}, found {some(others) or 'none'}; save them as JPEG or PNG"
            )
        self.path, self.rate, self.count = path, FOLDER_RATE, len(self.files)
        self.without = tuple(sorted(aside))
        self.size = one_size(self.files)

    @property
    def names(self) -> list[str]:
        """Names of all frames."""
        return [file.stem for file in self.files]

    def _read(self) -> Iterator[tuple[str, Pixels]]:
        for file in self.files:
            yield file.stem, read_image(file, self.files)


def open_frames(path: Path | str, without: Iterable[Path | str] = ()) -> ImageFolder | VideoFile:
    """The frames of a video file or of a folder of images.

    Args:
        without: files that are no frames, should they lie in the folder (masks).

    Raises:
        InputError: nothing there, no frames in it, one that cannot be opened, or images of several sizes.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"expected a video file or a folder of images at {path}, found nothing there")
    frames = ImageFolder(path, without) if path.is_dir() else VideoFile(path)
    for note in frames.notes:
        warn(note)
    return frames


def first_mask(path: Path | str, frames: Frames) -> Pixels:
    """The given mask of a video's first frame, as ``given_mask``. Raises InputError, too, when it is empty."""
    mask = given_mask(path, frames)
    if not mask.any():
        raise InputError(f"expected at least one object in the mask {path}, found only background")
    return mask


def given_mask(path: Path | str, frames: Frames) -> Pixels:
    """A mask that a person gives of a frame, uint8 (H, W) of object ids; see ``mask_colours`` for what it may be.

    255 beside other ids is void, as in DAVIS, and becomes background; alone it is an object. A warning says how
    it was read where that is not the only way.

    Raises:
        InputError: unreadable, or of another size than the frames.
    """
    ids, how = explained_mask(path)
    mask = without_void(ids)
    if not how and (mask == 1).mean() > 0.5:
        how = "the object takes most of the picture; if it should be the rest, invert the mask"
    if how:
        numbers, pixels = np.unique(mask[mask > 0], return_counts=True)
        sizes = [f"object {i}: {n:,} pixels" for i, n in zip(numbers, pixels, strict=True)]
        warn(f"mask {path}: {how} ({some(sizes) or 'no object'})")
    if mask.shape != frames.size:
        raise InputError(
            f"expected a mask of {size_text(frames.size)} pixels, the size of the frames of {frames.path}, "
            f"found {size_text(mask.shape)} in {path}: resize it, or paint it on a frame as it is shown"
        )
    return mask


def names_no_id(path: Path | str) -> bool:
    """Whether a mask of object 1 has neither that value nor that id's colour: white, or any colour, on black."""
    kept = decoded(path, stored)
    shown = (
        kept.values
        if kept.palette is None
        else kept.palette.take(kept.values.astype(np.uint8), axis=0, mode="clip")
    )
    return not (shown == 1 if shown.ndim == 2 else (shown == palette()[1]).all(axis=-1)).any()
