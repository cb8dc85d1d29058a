"""Binary masks as integers: one bit a pixel, so that a whole mask is shifted or joined in one step.

Letters: T frames, H W pixels. Pixel (y, x) of a window is bit ``y * stride + x``; every row is
followed by at least ``radius`` empty bits, so that a shift sideways never reaches the next row.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import isqrt
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True)
class Window:
    """The part of a frame that two masks occupy, one empty pixel around it where the frame has one.

    rows: rows of the window. last: index of its last column. stride: bits from one row to the next.
    """

    rows: int
    last: int
    stride: int


class Pair(NamedTuple):
    """Two masks of one frame inside one window."""

    first: int
    second: int
    window: Window


def pack_pairs(first_THW: np.ndarray, second_THW: np.ndarray, radius: int) -> list[Pair]:
    """Pack two stacks of masks, each frame cropped to what its two masks occupy together.

    first_THW, second_THW: bool (T, H, W). radius: how far, in pixels, masks will be dilated.
    """
    height, width = first_THW.shape[-2:]
    first = np.packbits(first_THW, axis=-1, bitorder="little")
    second = np.packbits(second_THW, axis=-1, bitorder="little")
    either = np.asarray(first | second)
    rows, columns = np.asarray(either.any(axis=2)), np.asarray(either.any(axis=1))
    tops, bottoms = _ends(rows)
    lefts, rights = _ends(columns)
    pairs = []
    for t, occupied in enumerate(np.asarray(rows.any(axis=1)).tolist()):
        if not occupied:
            pairs.append(Pair(0, 0, Window(1, 0, 8)))
            continue
        top, bottom = max(tops[t] - 1, 0), min(bottoms[t] + 2, height)
        left, right = max(lefts[t] - 1, 0), min(rights[t] + 2, first.shape[2])
        last = min(8 * right, width) - 1 - 8 * left
        window = Window(bottom - top, last, 8 * -(-(last + 1 + radius) // 8))
        area = (t, slice(top, bottom), slice(left, right))
        pairs.append(Pair(_integer(first[area], window), _integer(second[area], window), window))
    return pairs


def boundary(mask: int, window: Window) -> int:
    """One-pixel boundary: pixels that differ from their right, lower or lower-right neighbour.

    The last row looks only to the right, the last column only downwards, the last corner nowhere
    (DAVIS 2017 evaluation, ``seg2bmap``).
    """
    inner_columns, upper_rows = _inner(window)
    right = (mask ^ (mask >> 1)) & inner_columns
    below = (mask ^ (mask >> window.stride)) & upper_rows
    across = (mask ^ (mask >> (window.stride + 1))) & inner_columns & upper_rows
    return right | below | across


def dilate(mask: int, stride: int, radius: int) -> int:
    """Every pixel within ``radius`` (Euclidean, inclusive) of a pixel of the mask.

    The disk is the union of its rows, and a row is a run of neighbouring copies of the mask; runs
    only grow from the disk's outer rows to its middle, so each is made from the one before.
    """
    run, length, dilated = mask, 1, 0
    for dy in range(radius, -1, -1):
        half = isqrt(radius * radius - dy * dy)
        while length < 2 * half + 1:
            step = min(length, 2 * half + 1 - length)
            run |= run << step
            length += step
        down = dy * stride - half
        dilated |= run << down if down >= 0 else run >> -down
        if dy:
            dilated |= run >> (dy * stride + half)
    return dilated


def _ends(flags: np.ndarray) -> tuple[list[int], list[int]]:
    """First and last true index of each row of a bool array (T, N)."""
    return flags.argmax(axis=1).tolist(), (flags.shape[1] - 1 - flags[:, ::-1].argmax(axis=1)).tolist()


def _integer(packed: np.ndarray, window: Window) -> int:
    rows = np.zeros((window.rows, window.stride // 8), np.uint8)
    rows[:, : packed.shape[1]] = packed
    return int.from_bytes(rows.tobytes(), "little")


@lru_cache(maxsize=1024)
def _inner(window: Window) -> tuple[int, int]:
    """Bits of the columns before the last one, and of the rows before the last one."""
    row = ((1 << window.last) - 1).to_bytes(window.stride // 8, "little")
    return int.from_bytes(row * window.rows, "little"), (1 << (window.stride * (window.rows - 1))) - 1
