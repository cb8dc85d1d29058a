"""Objects that are too small at the size at which frames are processed, and a size at which they are not.

Letters: H W pixels.
"""

import math

import numpy as np
from numpy.typing import NDArray

NARROW = 16
"""Pixels, of the shorter side of an object's bounding box at the working size, under which it is often lost.

The package's checkpoint on the first 20 frames of DAVIS-2016's training sequences at 24 to 240 pixels, J in shares of a
sequence's best: 0.3 below 8 pixels, 0.4 from 8 to 16, 0.6 to 24, 0.8 to 48, 0.95 above.
"""
STEP = 8  # pixels; a better size is a multiple


def widths(mask: NDArray[np.integer], side: int) -> dict[int, float]:
    """How wide each object is at a working size: the shorter side of its bounding box, in pixels.

    Args:
        mask: object ids (H, W), 0 is background.
        side: shorter side in pixels at which frames are processed.
    """
    scale = side / min(mask.shape)
    found = {}
    for number in np.unique(mask[mask > 0]).tolist():
        lines = [np.flatnonzero((mask == number).any(axis)) for axis in (0, 1)]
        found[number] = scale * min(int(line[-1] - line[0]) + 1 for line in lines)
    return found


def size_for(mask: NDArray[np.integer], side: int) -> int:
    """The least working size from ``side`` on at which every object is wide enough, at most the frames' own."""
    least = min(widths(mask, side).values(), default=NARROW)
    if least >= NARROW:
        return side
    return min(math.ceil(side * NARROW / least / STEP) * STEP, *mask.shape)


def small_objects(mask: NDArray[np.integer], side: int) -> str | None:
    """One line that names each object too small at a working size, and a better size; None: there is none of either.

    Args:
        mask: ids (H, W) of given objects, of the frames' own size.
        side: the working size, see ``inference.open.working_size``.

    >>> small_objects(mask, 120)
    'object 1 is 5 pixels wide at this size: try --size 384, about 10 times slower'
    """
    narrow = {number: width for number, width in widths(mask, side).items() if width < NARROW}
    better = size_for(mask, side)
    if better == side:
        return None
    named = ", ".join(f"object {number} is {max(1, round(width))}" for number, width in narrow.items())
    times = (better / side) ** 2
    slower = f"about {times:.0f} times" if times >= 1.5 else "a little"
    return f"{named} pixels wide at this size: try --size {better}, {slower} slower"
