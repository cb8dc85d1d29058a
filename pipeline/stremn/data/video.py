"""Video files and folders of images as streams of frames, one frame in memory at a time. H W pixels."""

import re
from collections.abc import Iterator
from pathlib import Path

from stremn.data.clips import Pixels, read_image, read_mask, size_text, without_void
from stremn.data.frames import FOLDER_RATE, Frames
from stremn.data.video_file import VideoFile
from stremn.errors import InputError, warn

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


class ImageFolder(Frames):
    """Images of a folder in natural order (``2.png`` before ``10.png``), named by their stems."""

    def __init__(self, path: Path) -> None:
        files = [p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.name[0] != "."]
        if not files:
            raise InputError(
                f"expected images ({', '.join(s[1:] for s in IMAGE_SUFFIXES)}) in the folder {path}, "
                "found none"
            )
        self.files = sorted(files, key=lambda p: natural_order(p.stem))
        for one, other in zip(self.files, self.files[1:], strict=False):
            if one.stem == other.stem:
                raise InputError(
                    f"expected one image for each name in {path}, found {one.name} and {other.name}; "
                    "remove one"
                )
        self.path, self.rate, self.count = path, FOLDER_RATE, len(files)
        self.size = _size(self.first())

    @property
    def names(self) -> list[str]:
        """Names of all frames."""
        return [file.stem for file in self.files]

    def _read(self) -> Iterator[tuple[str, Pixels]]:
        for file in self.files:
            yield file.stem, read_image(file)


def open_frames(path: Path | str) -> ImageFolder | VideoFile:
    """The frames of a video file or of a folder of images.

    Raises:
        InputError: nothing there, no frames in it, or the first one cannot be decoded.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"expected a video file or a folder of images at {path}, found nothing there")
    frames = ImageFolder(path) if path.is_dir() else VideoFile(path)
    for note in frames.notes:
        warn(note)
    return frames


def first_mask(path: Path | str, frames: Frames) -> Pixels:
    """The given mask of a video's first frame, uint8 (H, W) of object ids; see ``read_mask`` for formats.

    255 beside other ids is void, as in DAVIS, and becomes background; alone it is an object.

    Raises:
        InputError: unreadable, of another size than the frames, or empty.
    """
    mask = without_void(read_mask(path))
    if mask.shape != frames.size:
        raise InputError(
            f"expected a mask of {size_text(frames.size)} pixels, the size of the frames of {frames.path}, "
            f"found {size_text(mask.shape)} in {path}"
        )
    if not mask.any():
        raise InputError(f"expected at least one object in the mask {path}, found only background")
    return mask


def natural_order(text: str) -> tuple[tuple[int, int, str], ...]:
    """A sorting key that counts numbers as numbers; equal numbers of other writing keep a fixed order."""
    parts = re.findall(r"\d+|\D+", text)
    return tuple((0, int(p), p) if p.isdecimal() else (1, 0, p) for p in parts)


def _size(frame: Pixels) -> tuple[int, int]:
    return frame.shape[0], frame.shape[1]
