"""How fast training clips are read and cut: clips a second of ``ClipSampler``, by number of worker processes.

    python benchmarks/decoding.py ROOT [--dataset davis-2016] [--size 128] [--workers 0 1 2]

One line for each number of workers. ``ready`` is the share of batches that were waiting when a model that
takes ``--step`` seconds for each asked for them: 1 means that decoding never held it up.
"""

import argparse
import os
import time
from collections.abc import Sequence

import torch

from stremn.data.batches import batches
from stremn.data.datasets import open_clips
from stremn.data.sampling import ClipSampler

WAITING = 0.02  # seconds: a batch that comes within this was ready


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", help="folder of the dataset")
    parser.add_argument("--dataset", default="davis-2016", help="a dataset of clips, default davis-2016")
    parser.add_argument("--split", default="train")
    parser.add_argument("--batch", type=int, default=4, help="clips in a batch, default 4")
    parser.add_argument("--frames", type=int, default=8, help="frames in a clip, default 8")
    parser.add_argument("--objects", type=int, default=1)
    parser.add_argument("--size", type=int, default=128, help="side of the crops in pixels, default 128")
    parser.add_argument("--skip", type=int, default=5, help="most frames left out, default 5")
    parser.add_argument("--steps", type=int, default=20, help="batches measured, default 20")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--cache", action="store_true", help="keep decoded clips in memory")
    parser.add_argument("--step", type=float, default=0.0, help="seconds that the model takes, default 0")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print(
        f"{chosen.dataset} {chosen.split}: batches of {chosen.batch} clips of {chosen.frames} frames, crops of"
    )
    print(
        f"{chosen.size} pixels, {chosen.steps} batches, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    for workers in chosen.workers:
        rate, ready = measure(chosen, workers)
        print(
            f"workers {workers}: {rate:6.1f} clips/s, {1000 / rate:6.1f} ms a clip, ready {ready:.2f}",
            flush=True,
        )


def measure(chosen: argparse.Namespace, workers: int) -> tuple[float, float]:
    """Clips a second after the first batch, and the share of batches that were ready."""
    folder = open_clips(chosen.dataset, chosen.root, chosen.split, cache=chosen.cache)
    sampler = ClipSampler(folder, chosen.batch, chosen.frames, chosen.objects, chosen.size, chosen.skip)
    stream = batches(sampler, 0, chosen.steps + 1, workers)
    next(stream)
    ready, start = 0, time.perf_counter()
    for _ in range(chosen.steps):
        _occupy(chosen.step)
        asked = time.perf_counter()
        next(stream)
        ready += time.perf_counter() - asked < WAITING
    return chosen.batch * chosen.steps / (time.perf_counter() - start), ready / chosen.steps


def _occupy(seconds: float) -> None:
    """Use a core for a while, as a model does."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        torch.rand(64, 64) @ torch.rand(64, 64)


if __name__ == "__main__":
    main()
