"""Video files as people bring them: one list of frames, upright, at their times, to their real end."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np


def write_h264(
    path: Path,
    frames: Sequence[np.ndarray],
    *,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    times: Sequence[int] | None = None,
    **fields: Any,
) -> Path:
    """A video of RGB frames, as PyAV's user would write it.

    Args:
        times: of the frames, in 1/600 s; None: 30 frames a second.
        fields: of the stream's codec context, such as ``pix_fmt``.
    """
    with av.open(str(path), "w", options=container or {}) as file:
        chosen = {"preset": "veryfast", "g": "10"} if codec == "libx264" else {}
        stream: Any = file.add_stream(codec, rate=30, options={**chosen, **(options or {})})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = fields.pop("pix_fmt", "yuv420p")
        if times is not None:
            stream.codec_context.time_base = stream.time_base = Fraction(1, 600)
        for name, value in fields.items():
            setattr(stream.codec_context, name, value)
        for number, pixels in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if times is not None:
                picture.pts, picture.time_base = times[number], Fraction(1, 600)
            file.mux(stream.encode(picture))
        file.mux(stream.encode())
    return path
