"""A range of a video, and a camera: two more kinds of ``Frames``."""

import sys
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
from av.error import FFmpegError
from PIL import Image

from stremn.data.clips import Pixels
from stremn.data.frames import DIGITS, FOLDER_RATE, Frames
from stremn.errors import InputError
from stremn.files import replacing

DRIVERS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}


class ClipRange(Frames):
    """The frames ``start`` to ``stop`` − 1 of a video, under the names that they have in it.

    Args:
        frames: the whole video.
        start: number of the first frame, from 0.
        stop: number of the frame before which to end; None: the video's end.

    Raises:
        InputError: no frame is left, or ``stop`` lies behind the end of the video.
    """

    def __init__(self, frames: Frames, start: int = 0, stop: int | None = None) -> None:
        if start < 0:
            raise InputError(f"expected a first frame from 0 on, found {start}: choose another --start")
        if stop is not None and stop <= start:
            raise InputError(f"expected an end behind frame {start}, found {stop}: choose another --stop")
        count = frames.counted(stop)
        if count is not None and start >= count:
            raise InputError(
                f"expected a first frame of 0 to {count - 1}, those of {frames.path}, found {start}: "
                "choose another --start"
            )
        if count is not None and stop is not None and stop > count:
            raise InputError(
                f"expected an end behind frame {start} and at most {count}, the frames of {frames.path}, "
                f"found {stop}: choose another --stop"
            )
        self.whole, self.start, self.stop = frames, start, stop
        self.path, self.size, self.rate, self.aspect = frames.path, frames.size, frames.rate, frames.aspect
        end = count if stop is None else stop
        self.count = None if end is None else end - start

    @property
    def repeatable(self) -> bool:
        """Whether the frames can be read a second time; a camera's cannot."""
        return not isinstance(self.whole, Webcam)

    def times(self) -> Sequence[Fraction] | None:
        """See ``Frames.times``."""
        known = self.whole.times()
        return None if known is None else known[self.start : self.stop]

    def __iter__(self) -> Iterator[tuple[str, Pixels]]:
        """As of the whole video, which checks each frame."""
        return islice(self.whole, self.start, self.stop)


class Webcam(Frames):
    """Frames of a camera, named ``00000``, ``00001``, … from when it was opened; they can be read once.

    Args:
        name: number of the camera, or what FFmpeg's driver calls it (``/dev/video0``, a device's name).
        driver: FFmpeg's input format; None: this system's (v4l2, AVFoundation or DirectShow).

    Raises:
        InputError: no such camera, or it gives no picture.
    """

    def __init__(self, name: str, driver: str | None = None) -> None:
        self.path = Path(f"camera {name}")
        driver = driver or DRIVERS.get(sys.platform, "v4l2")
        try:
            self._container: Any = av.open(_device(name, driver), format=driver)
            stream = self._container.streams.video[0]
            frames: Iterator[Any] = self._container.decode(stream)
            self._first: Pixels = next(frames).to_ndarray(format="rgb24")
        except (FFmpegError, OSError, ValueError, IndexError, StopIteration) as error:
            why = str(getattr(error, "strerror", None) or error or "no picture")
            raise InputError(
                f"expected a camera {name} ({driver}), found: {why}; is it connected and free?"
            ) from None
        self.size = (self._first.shape[0], self._first.shape[1])
        self.rate = Fraction(stream.average_rate or FOLDER_RATE).limit_denominator(1001)
        self.count = None

    def first(self) -> Pixels:
        """The frame that was read when the camera was opened."""
        return self._first

    def _read(self) -> Iterator[tuple[str, Pixels]]:
        yield f"{0:0{DIGITS}d}", self._first
        frames: Iterator[Any] = self._container.decode(video=0)
        number = 1
        while True:
            try:
                frame = next(frames)
            except StopIteration:
                return
            except (FFmpegError, OSError) as error:
                raise InputError(
                    f"expected frame {number} of {self.path}, found: {error}; is it still connected?"
                ) from None
            yield f"{number:0{DIGITS}d}", frame.to_ndarray(format="rgb24")
            number += 1


def _device(name: str, driver: str) -> str:
    """What FFmpeg opens for a camera's number or name."""
    if driver == "v4l2":
        return f"/dev/video{name}" if name.isdecimal() else name
    return f"video={name}" if driver == "dshow" else name


def save_picture(camera: str, path: Path) -> tuple[int, int]:
    """Write one picture of a camera as PNG, to draw a first mask on; returns its (H, W).

    Raises:
        InputError: no such camera, a file of that name, or a place that cannot be written.
    """
    if path.exists():
        raise InputError(f"expected a new file for the picture, found {path}; choose another name")
    picture = Webcam(camera).first()
    try:
        with replacing(path) as scratch:
            Image.fromarray(picture).save(scratch, format="PNG")
    except OSError as error:
        raise InputError(f"expected to write {path}, could not: {error.strerror}") from None
    return picture.shape[0], picture.shape[1]
