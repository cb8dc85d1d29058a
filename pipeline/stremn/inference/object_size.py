"""Objects that are too small at the size at which frames are processed, and a size at which they are not.

Letters: H W pixels.
"""

import math

import numpy as np
from numpy.typing import NDArray

NARROW = 12
"""Pixels, of the shorter side of an object's bounding box at the working size, under which it is often lost."""
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
    """One line that names each object too small at a working size, and a better size; None: there is none.

    Args:
        mask: ids (H, W) of given objects, of the frames' own size.
        side: the working size, see ``inference.open.working_size``.

    >>> small_objects(mask, 120)
    'object 1 is 5 pixels wide at this size: try --size 288, about 6 times slower'
    """
    narrow = {number: width for number, width in widths(mask, side).items() if width < NARROW}
    if not narrow:
        return None
    named = ", ".join(f"object {number} is {max(1, round(width))}" for number, width in narrow.items())
    better = size_for(mask, side)
    if better <= side:
        return f"{named} pixels wide, and the frames have no more: it may soon be lost"
    times = (better / side) ** 2
    return f"{named} pixels wide at this size: try --size {better}, about {times:.0f} times slower"
