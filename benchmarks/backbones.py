"""Parameters, and milliseconds of one thread's own time, of each backbone; about two minutes.

    python benchmarks/backbones.py [--sides 240 480] [--repeats 3]

A frame has the shape of DAVIS (854:480) with the given shorter side; weights are random.
"""

import argparse
import time

import torch

from stremn.models.backbones import BACKBONES, make_backbone


def milliseconds(backbone: torch.nn.Module, side: int, repeats: int) -> float:
    """The best of some passes of one frame."""
    frame = torch.rand(1, 3, side, round(side * 854 / 480 / 16) * 16)
    best = float("inf")
    for _ in range(repeats + 1):  # the first one warms up
        start = time.process_time()
        backbone(frame)
        best = min(best, time.process_time() - start)
    return 1000 * best


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=[240, 480])
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("| backbone | strides | channels | parameters (M) |", *(f"ms at {s} px |" for s in given.sides))
    print("|---|---|---|---:|", *("---:|" for _ in given.sides))
    for name, entry in BACKBONES.items():
        backbone = make_backbone(name).eval()
        count = sum(weight.numel() for weight in backbone.parameters()) / 1e6
        with torch.inference_mode():
            times = [milliseconds(backbone, side, given.repeats) for side in given.sides]
        print(
            f"| {name} | {entry.strides} | {entry.channels} | {count:.2f} |", *(f"{t:.0f} |" for t in times)
        )


if __name__ == "__main__":
    main()
