"""Segmenting a video from disk to disk: one frame in memory at a time.

H W pixels.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from stremn.data.clips import write_mask
from stremn.data.outputs import output_folder
from stremn.data.overlays import draw_overlay
from stremn.data.video import Frames, VideoWriter
from stremn.tasks.stream import Stream

MASKS, OVERLAY, TRACE = "masks", "overlay.mp4", "trace.json"
RESULTS = (MASKS, OVERLAY, TRACE)
SHORTER_SIDE = 240  # pixels, where a checkpoint does not say what it was made for


@dataclass(frozen=True)
class Segmented:
    """What was done: number of frames, ids of the objects, seconds, and the folder."""

    frames: int
    objects: list[int]
    seconds: float
    out: Path


def default_size(meta: dict[str, Any]) -> int | None:
    """The shorter side in pixels that a checkpoint was made for, None where it does not say."""
    size = meta.get("default_size")
    return None if size is None else int(size)


def working_size(frames: Frames, meta: dict[str, Any], wanted: int | None = None) -> int:
    """The shorter side in pixels to look at frames with, never above the frames' own.

    Args:
        meta: of the checkpoint, for its default.
        wanted: what the user asks for; None: the checkpoint's default, else 240.
    """
    return min(wanted or default_size(meta) or SHORTER_SIDE, *frames.size)


def segment_video(
    stream: Stream, frames: Frames, mask: NDArray[np.integer], out: Path | str, *, overwrite: bool = False
) -> Segmented:
    """Segment a video and write masks, an overlay video and the trace of the memory.

    Args:
        stream: a fresh stream.
        frames: the video.
        mask: object ids (H, W) of its first frame.
        out: folder for ``masks/<frame>.png`` (palette PNGs), ``overlay.mp4`` and ``trace.json``.
        overwrite: replace an earlier run's results.

    Raises:
        InputError: a frame that cannot be read, or an output folder that is in the way. Then, as after
            Ctrl-C, nothing is written.
    """
    start, done = time.monotonic(), 0
    with output_folder(out, RESULTS, overwrite=overwrite) as scratch:
        (scratch / MASKS).mkdir()
        with (
            VideoWriter(scratch / OVERLAY, frames.rate) as video,
            progress("segmenting", frames.count) as bar,
        ):
            for name, frame in frames:
                ids = stream.ids(stream.step(frame, mask if done == 0 else None))
                write_mask(scratch / MASKS / f"{name}.png", ids)
                video.write(draw_overlay(frame, ids))
                done += 1
                bar.update()
        if stream.trace is not None:
            stream.trace.about |= _about(stream, frames, done)
            stream.trace.save(scratch / TRACE)
    return Segmented(done, list(stream.object_ids), time.monotonic() - start, Path(out))


def progress(label: str, total: int | None, unit: str = "frame") -> tqdm:
    """A bar with rate and time left; where nobody watches (a log file) it is shown from ten seconds on."""
    quiet = 0 if sys.stderr.isatty() else 10
    return tqdm(total=total, desc=label, unit=unit, delay=quiet, mininterval=max(0.1, quiet))


def _about(stream: Stream, frames: Frames, count: int) -> dict[str, Any]:
    height, width = frames.size
    return {
        "video": frames.path.name,
        "frames": count,
        "height": height,
        "width": width,
        "size": stream.size,
        "system": stream.meta["system"],
        "policy": stream.policy.name,
        "slots": stream.policy.slots,
        "objects": list(stream.object_ids),
    }
