"""Masks as COCO writes them: polygons and run-length codes. H W pixels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from skimage.draw import polygon

from stremn.data.clips import Pixels


def decode(segmentation: Any, height: int, width: int) -> Pixels:
    """A COCO ``segmentation`` as uint8 (H, W) of 0 and 1.

    Args:
        segmentation: a list of polygons ``[x0, y0, x1, y1, …]`` in pixels (a pixel belongs to one when its
            centre does), or ``{"size": [H, W], "counts": …}`` with counts as numbers or as a string.

    Raises ValueError when it is something else or of another size.
    """
    if isinstance(segmentation, dict):
        if list(segmentation["size"]) != [height, width]:
            raise ValueError(f"a mask of {segmentation['size']} in an image of {[height, width]}")
        counts = segmentation["counts"]
        return from_runs(parse(counts) if isinstance(counts, str) else counts, height, width)
    mask = np.zeros((height, width), np.uint8)
    for points in segmentation:
        if len(points) < 6 or len(points) % 2:
            raise ValueError(f"a polygon of {len(points)} numbers")
        corners = np.asarray(points, np.float64).reshape(-1, 2) - 0.5
        mask[polygon(corners[:, 1], corners[:, 0], mask.shape)] = 1
    return mask


def from_runs(counts: Sequence[int], height: int, width: int) -> Pixels:
    """Run lengths of 0 and 1 in turn, column after column, as uint8 (H, W)."""
    if sum(counts) != height * width or min(counts, default=0) < 0:
        raise ValueError(f"runs over {sum(counts)} pixels in an image of {height * width}")
    values = np.arange(len(counts), dtype=np.uint8) % 2
    return np.repeat(values, counts).reshape(width, height).T.copy()


def parse(text: str) -> list[int]:
    """Run lengths from COCO's string.

    A number is written five bits to a character (code minus 48), the lowest first; bit 6 says that more
    follow, the last character's bit 5 is the sign. From the fourth number on, the difference to the number
    two places before is written.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"the character {character!r} in a run-length code")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("a run-length code that ends within a number")
    return counts
