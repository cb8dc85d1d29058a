"""Writing H.264 videos. H W pixels."""

from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from math import lcm
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from av.video.reformatter import Colorspace

from stremn.data.clips import Pixels
from stremn.data.frames import FOLDER_RATE

CLOCK = 90_000  # ticks per second, where the times of frames need more than FINEST
FINEST = 1_000_000
SAME = Fraction(1, 1000)  # seconds: containers with ticks of a millisecond round so far
BT709, LIMITED = 1, 1  # of colours and their range, as FFmpeg numbers them


class VideoWriter:
    """An H.264 mp4 file, frame by frame; a context manager.

    H.264 as every player reads it (4:2:0) needs even sides: a frame with an odd one is padded by repeating
    its last row or column. Colours are BT.709, and the file says so.

    Args:
        path: file to write; give a scratch name, for a half-written file stays on failure.
        rate: frames per second.
        times: seconds of each frame, where they may differ from the rate; rising.
        aspect: width of a pixel in its heights.
        quality: constant rate factor of x264, 0 (lossless) to 51; 18 looks like the original.
    """

    def __init__(
        self,
        path: Path | str,
        rate: Fraction | float = FOLDER_RATE,
        times: Sequence[Fraction] | None = None,
        aspect: Fraction = Fraction(1),
        quality: int = 18,
    ) -> None:
        self._container = av.open(str(path), "w", format="mp4")
        self._rate = Fraction(rate).limit_denominator(1001)
        self._tick, self._ticks = _clock(self._rate, times)
        self._aspect, self._quality, self._count = aspect, quality, 0
        self._stream: Any = None

    def write(self, frame: Pixels) -> None:
        """Add a frame, uint8 (H, W, 3) RGB, of the same size as the others."""
        height, width = frame.shape[:2]
        padded = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if self._stream is None:
            self._stream = self._opened(padded.shape[1], padded.shape[0])
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(padded), format="rgb24")
        picture = picture.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
        picture.pts = self._count if self._ticks is None else self._ticks[self._count]
        picture.time_base = self._tick
        self._count += 1
        self._container.mux(self._stream.encode(picture))

    def _opened(self, width: int, height: int) -> Any:
        options = {"crf": str(self._quality), "preset": "veryfast"}
        stream: Any = self._container.add_stream("libx264", rate=self._rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        coder = stream.codec_context
        coder.time_base = stream.time_base = self._tick
        coder.sample_aspect_ratio = self._aspect
        coder.colorspace = coder.color_primaries = coder.color_trc = BT709
        coder.color_range = LIMITED
        return stream

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._stream is not None and kind is None:
                self._container.mux(self._stream.encode())
        finally:
            with suppress(*((OSError,) if kind else ())):  # a full disk is not told twice
                self._container.close()


def _clock(rate: Fraction, times: Sequence[Fraction] | None) -> tuple[Fraction, list[int] | None]:
    """The unit of time in seconds, and each frame's time in it from the first on; None: one after another."""
    shown = [time - times[0] for time in times or ()] if times else []
    if all(abs(time - number / rate) <= SAME for number, time in enumerate(shown)):
        return 1 / rate, None
    needed = lcm(*(time.denominator for time in shown))
    tick = Fraction(1, needed if needed <= FINEST else CLOCK)
    return tick, [round(time / tick) for time in shown]
