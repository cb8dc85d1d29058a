"""A long video through ``stremn segment``: resident memory and CPU time a frame as it goes on.

    OMP_NUM_THREADS=1 python benchmarks/soak.py --frames 10000 --size 16

Writes a video of 480p's size (854×480), segments it with the checkpoint that comes with the package, and prints a
line at every mark: with a memory of constant size both figures stay. CPU time, so that other work on the machine hardly
counts.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from stremn.data.pictures import Pixels
from stremn.data.video_file import VideoFile
from stremn.segmenting.segment_video import segment_video
from stremn.segmenting.video_writer import VideoWriter

HEIGHT, WIDTH = 480, 854
MARKS = (100, 1_000, 10_000)  # frames
RECENT = 90  # frames over which the time is taken


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the video, segment it, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=10_000, help="default 10000")
    parser.add_argument("--size", type=int, default=16, help="shorter side that is processed, default 16")
    parser.add_argument("--policy", default="learned", help="rule of the memory, default learned")
    parser.add_argument("--write", default="masks,overlay", help="as of `stremn segment`")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "long.mp4")
        with VideoWriter(path) as video:
            for number in range(chosen.frames):
                video.write(picture(number))
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[place(0)] = 1
        segment_video(
            Watched(path),
            {0: mask},
            Path(folder, "out"),
            write=chosen.write,
            size=chosen.size,
            policy=chosen.policy,
        )


class Watched(VideoFile):
    """A video that prints when a mark is reached: a frame is asked for once the one before it is written."""

    def __iter__(self) -> Iterator[tuple[str, Pixels]]:
        times: list[float] = []
        for number, frame in enumerate(super().__iter__()):
            times.append(time.process_time())
            if number in MARKS:
                tell(number, times)
            yield frame
        times.append(time.process_time())
        tell(len(times) - 1, times)


def tell(number: int, times: Sequence[float]) -> None:
    """A line of memory and time."""
    recent = min(RECENT, number)
    each = (times[-1] - times[-1 - recent]) / recent
    print(f"{number:6d} frames: {resident():7.1f} MB, {each:.4f} s of CPU time a frame", flush=True)


def resident() -> float:
    """Resident memory of this process in MB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 1e6


def picture(number: int) -> Pixels:
    """A frame: a red square that moves over a slope."""
    frame = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    frame[:] = np.linspace(40, 160, WIDTH, dtype=np.uint8)[:, None]
    frame[place(number)] = (200, 60, 40)
    return frame


def place(number: int) -> tuple[slice, slice]:
    """Where the square is."""
    left = round(300 + 250 * np.sin(number / 50))
    return slice(160, 320), slice(left, left + 200)


if __name__ == "__main__":
    main()
