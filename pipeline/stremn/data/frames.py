"""Frames of a video in order: what every source of them has. H W pixels."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from stremn.data.pictures import Pixels, size_text
from stremn.errors import InputError

FOLDER_RATE = Fraction(24)  # frames per second of a folder of images, as DAVIS
DIGITS = 5  # of the names of a video file's frames


class Frames:
    """The frames of a video in order; every iteration starts anew and reads from disk.

    Attributes:
        path: file or folder.
        size: (H, W) of every frame.
        rate: frames per second.
        aspect: width of a pixel in its heights; 1 but for some videos of television and DVD.
        without: names of pictures in the folder that are no frames of it (masks).
        notes: what a user should know of how the video is read, one line each.
    """

    path: Path
    size: tuple[int, int]
    rate: Fraction
    aspect: Fraction = Fraction(1)
    without: tuple[str, ...] = ()
    notes: Sequence[str] = ()
    count: int | None = None
    """Number of frames, where it is known; see ``counted``."""

    def counted(self, limit: int | None = None) -> int | None:
        """Number of frames that can be read, counted up to ``limit``; None: only known at the end (a camera)."""
        return self.count

    def times(self) -> Sequence[Fraction] | None:
        """Seconds at which the frames are shown, of those counted so far; None: ``rate`` says it."""
        return None

    def __iter__(self) -> Iterator[tuple[str, Pixels]]:
        """Pairs of the frame's name and its pixels, uint8 (H, W, 3) RGB.

        Raises:
            InputError: a frame that cannot be decoded or has another size, named.
        """
        for number, (name, frame) in enumerate(self._read()):
            if frame.shape[:2] != self.size:
                raise InputError(
                    f"expected frames of {size_text(self.size)} pixels as the first, found {size_text(frame.shape)} "
                    f"at frame {number} ({name}) of {self.path}; resize it"
                )
            yield name, frame

    def first(self) -> Pixels:
        """The first frame."""
        return next(iter(self._read()))[1]

    def _read(self) -> Iterator[tuple[str, Pixels]]:
        raise NotImplementedError
