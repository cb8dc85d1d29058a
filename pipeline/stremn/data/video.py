"""Video files and folders of images as streams of frames, one frame in memory at a time.

H W pixels. Decoding is PyAV's (FFmpeg); anything that it reports as damaged is an error, never a guess.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from av.error import FFmpegError

from stremn.data.clips import Pixels, read_image, read_mask, size_text, without_void
from stremn.errors import InputError

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
FOLDER_RATE = Fraction(24)  # frames per second of a folder of images, as DAVIS
STRICT = {"err_detect": "explode"}  # FFmpeg: do not conceal damage
DIGITS = 5  # of the names of a video file's frames


class Frames:
    """The frames of a video in order; every iteration starts anew and reads from disk.

    Attributes:
        path: file or folder.
        size: (H, W) of every frame.
        rate: frames per second.
        count: number of frames as the file declares it (containers may be off by a few); None: unknown.
    """

    path: Path
    size: tuple[int, int]
    rate: Fraction
    count: int | None

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


class VideoFile(Frames):
    """A video file, its frames named ``00000``, ``00001``, …; turned upright where the file says so."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._problems(), av.open(str(path)) as container:
            if not container.streams.video:
                raise InputError(f"expected a video in {path}, found no pictures in it")
            stream = container.streams.video[0]
            self.rate = Fraction(stream.average_rate or FOLDER_RATE).limit_denominator(1001)
            self.count = stream.frames or None
        try:
            self.size = _size(self.first())
        except StopIteration:
            raise InputError(f"expected frames in the video {path}, found none") from None

    def _read(self) -> Iterator[tuple[str, Pixels]]:
        number = 0
        with self._problems(), av.open(str(self.path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            stream.codec_context.options = STRICT
            packets = container.demux(stream)
            while True:
                with self._problems(number):
                    packet = next(packets, None)
                    if packet is None:
                        return
                    if packet.is_corrupt:
                        raise _damaged(self.path, number, "the data ends too early or is marked as damaged")
                    frames: list[Any] = list(packet.decode())
                for frame in frames:
                    if frame.is_corrupt:
                        raise _damaged(self.path, number, "marked as damaged")
                    yield f"{number:0{DIGITS}d}", upright(frame)
                    number += 1

    @contextmanager
    def _problems(self, number: int | None = None) -> Iterator[None]:
        try:
            yield
        except FFmpegError as error:
            why = str(error.strerror or error)
            if number is not None:
                raise _damaged(self.path, number, why) from None
            raise InputError(
                f"expected a video file or a folder of images at {self.path}, found: {why}"
            ) from None


def open_frames(path: Path | str) -> Frames:
    """The frames of a video file or of a folder of images.

    Raises:
        InputError: nothing there, no frames in it, or the first one cannot be decoded.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"expected a video file or a folder of images at {path}, found nothing there")
    return ImageFolder(path) if path.is_dir() else VideoFile(path)


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


class VideoWriter:
    """An H.264 mp4 file, frame by frame; a context manager.

    H.264 as every player reads it (4:2:0) needs even sides: a frame with an odd one is padded by repeating
    its last row or column.

    Args:
        path: file to write; give a scratch name, for a half-written file stays on failure.
        rate: frames per second.
        quality: constant rate factor of x264, 0 (lossless) to 51; 18 looks like the original.
    """

    def __init__(self, path: Path | str, rate: Fraction | float = FOLDER_RATE, quality: int = 18) -> None:
        self._container = av.open(str(path), "w", format="mp4")
        self._rate = Fraction(rate).limit_denominator(1001)
        self._quality = quality
        self._stream: Any = None

    def write(self, frame: Pixels) -> None:
        """Add a frame, uint8 (H, W, 3) RGB, of the same size as the others."""
        height, width = frame.shape[:2]
        padded = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if self._stream is None:
            options = {"crf": str(self._quality), "preset": "veryfast"}
            self._stream = self._container.add_stream("libx264", rate=self._rate, options=options)
            self._stream.height, self._stream.width = padded.shape[:2]
            self._stream.pix_fmt = "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(padded), format="rgb24")
        self._container.mux(self._stream.encode(picture))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._stream is not None and kind is None:
                self._container.mux(self._stream.encode())
        finally:
            self._container.close()


def natural_order(text: str) -> tuple[tuple[int, int, str], ...]:
    """A sorting key that counts numbers as numbers; equal numbers of other writing keep a fixed order."""
    parts = re.findall(r"\d+|\D+", text)
    return tuple((0, int(p), p) if p.isdecimal() else (1, 0, p) for p in parts)


def _size(frame: Pixels) -> tuple[int, int]:
    return frame.shape[0], frame.shape[1]


def upright(frame: Any) -> Pixels:
    """Pixels of a decoded frame, turned by the rotation (anticlockwise) that phones write into the file."""
    pixels: Pixels = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def _damaged(path: Path, number: int, why: str) -> InputError:
    return InputError(
        f"expected a readable video, found frame {number} of {path} damaged ({why}); replace the file"
    )
