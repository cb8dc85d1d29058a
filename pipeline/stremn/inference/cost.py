"""What one frame costs, along a long stream."""

import time
from dataclasses import dataclass, field

import numpy as np
import psutil
from numpy.typing import NDArray

from stremn.inference.stream import Stream


@dataclass
class Cost:
    """One stream measured frame by frame.

    Attributes:
        seconds: time of each frame.
        slots: slots, or frames' worth of single features, in use after each frame.
        memory_bytes: size of what they hold after each frame (keys, values, update keys, counters).
        resident_bytes: memory of the process after each frame.
    """

    seconds: list[float] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    memory_bytes: list[int] = field(default_factory=list)
    resident_bytes: list[int] = field(default_factory=list)


def measure(
    stream: Stream,
    frames_THW3: NDArray[np.uint8],
    mask_HW: NDArray[np.integer],
    length: int,
    progress: object | None = None,
) -> Cost:
    """Run a stream over ``length`` frames, going back and forth through the clip.

    Args:
        stream: fresh, without a trace (which would grow).
        frames_THW3: a clip; it is played forwards and backwards, so neighbours stay neighbours.
        mask_HW: object ids of its first frame.
        length: frames in all.
        progress: has ``update()``, for example a tqdm bar.
    """
    cost, process = Cost(), psutil.Process()
    period = 2 * len(frames_THW3) - 2 or 1
    for t in range(length):
        at = t % period
        frame = frames_THW3[at if at < len(frames_THW3) else period - at]
        started = time.perf_counter()
        stream.step(frame, mask_HW if t == 0 else None)
        cost.seconds.append(time.perf_counter() - started)
        cost.slots.append(stream.memory.slots)
        cost.memory_bytes.append(stream.memory.bytes())
        cost.resident_bytes.append(process.memory_info().rss)
        if progress is not None:
            progress.update()  # type: ignore[attr-defined]
    return cost
