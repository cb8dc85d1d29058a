"""Binary masks as words of 64 pixels, so that one core scores 2,000 frames a second (``benchmarks/score_vos.py``).

A mask is shifted, joined or counted 64 pixels at a time; SciPy's dilation of one mask in its window gives the same
bits more slowly.

Letters: H W pixels; Y rows and X words of a window. Pixel (y, x) of a frame is bit ``x % 64`` of word
``x // 64`` of row y. Two masks that are compared share a window, ``words_2YX``: the part of the frame that
they occupy together, and at the end of every row empty words, so that a shift never reaches the next row.
"""

from functools import lru_cache
from math import isqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
WORD = 64
_SPARE = 5  # arrays that boundary and dilate need


class Packed(NamedTuple):
    """Two masks of one frame.

    words_2YX: their window. inner_X: the bits of all columns but the frame's last. spare: arrays of the
    same size (5, 2, Y, X) to compute in.
    """

    words_2YX: Words
    inner_X: Words
    spare: Words


class Packer:
    """Packs two masks of one frame into words; its memory serves every frame of one size.

    height, width: of the frame. radius: how far, in pixels, the masks will be dilated.
    """

    def __init__(self, height: int, width: int, radius: int) -> None:
        self.height, self.width = height, width
        self.guard = -(-max(radius, 1) // WORD)
        words = -(-width // WORD)
        self._masks = np.zeros((2, height, words * WORD), bool)
        self._memory = np.zeros((1 + _SPARE) * 2 * height * (words + self.guard), np.uint64)
        row = np.zeros(words * WORD, bool)
        row[: width - 1] = True
        self._inner = _pack(row)

    @property
    def masks_2HW(self) -> NDArray[np.bool_]:
        """The two masks of the frame, to be filled in before :meth:`pack`."""
        return self._masks[:, :, : self.width]

    def pack(self) -> Packed | None:
        """The masks in words, valid until the next call; None where both are empty.

        The window begins one pixel before the masks and ends one row after them, as far as the frame has
        these.
        """
        packed = _pack(self._masks)
        either = packed[0] | packed[1]
        rows = np.flatnonzero(np.bitwise_or.reduce(either, axis=1))
        if not len(rows):
            return None
        occupied = np.bitwise_or.reduce(either, axis=0)
        columns = np.flatnonzero(occupied)
        top, bottom = max(int(rows[0]) - 1, 0), min(int(rows[-1]) + 2, self.height)
        left, right = int(columns[0]), int(columns[-1]) + 1
        if left and int(occupied[left]) & 1:
            left -= 1
        shape = (1 + _SPARE, 2, bottom - top, right - left + self.guard)
        words, *_ = memory = self._memory[: np.prod(shape)].reshape(shape)
        words[:, :, : right - left] = packed[:, top:bottom, left:right]
        words[:, :, right - left :] = 0
        inner = np.zeros(shape[-1], np.uint64)
        inner[: right - left] = self._inner[left:right]
        return Packed(words, inner, memory[1:])


def count(words: Words) -> list[int]:
    """How many pixels are set in each of several masks, words (N, Y, X)."""
    return np.bitwise_count(words).sum(axis=(1, 2), dtype=np.int64).tolist()


def boundary(pair: Packed) -> Words:
    """One-pixel boundaries: pixels that differ from their right, lower or lower-right neighbour; (2, Y, X).

    The last row looks only to the right, the last column only downwards, the last corner nowhere
    (DAVIS 2017 evaluation, ``seg2bmap``). They lie in the first spare array.
    """
    words, (edges, right, other, *_) = pair.words_2YX, pair.spare
    _shift_down(words, 1, right, other)
    np.bitwise_xor(words, right, out=edges)
    edges[:, :-1] |= np.bitwise_xor(words[:, :-1], right[:, 1:], out=other[:, :-1])
    edges &= pair.inner_X
    edges[:, :-1] |= np.bitwise_xor(words[:, :-1], words[:, 1:], out=other[:, :-1])
    return edges


def dilate(words_2YX: Words, radius: int, spare: Words) -> Words:
    """Every pixel within ``radius`` (Euclidean, inclusive) of a pixel of the mask, for each mask.

    The disk is the union of its rows, and a row is a run of neighbouring copies of the mask; runs only
    grow from the disk's outer rows to its middle, so each is made from the one before.

    Args:
        words_2YX: the masks.
        radius: in pixels.
        spare: four arrays of the size of the masks, to compute in.

    Returns:
        The first of the spare arrays, (2, Y, X). What lies outside the frame, in the empty words at the end of a
        row, has no meaning.
    """
    dilated, run, moved, other = spare
    # Begin with the mask itself: the disk's middle pixel, and a run of length 1.
    dilated[:], run[:], length, centred = words_2YX, words_2YX, 1, words_2YX
    for dy, half in _disk_rows(radius):
        if length < 2 * half + 1:
            # Widen the run to this row's 2 half + 1 pixels: a copy of it joins at most its own length at once.
            while length < 2 * half + 1:
                step = min(length, 2 * half + 1 - length)
                run |= _shift_up(run, step, moved, other)
                length += step
            # It has grown to the right only: bring its middle back to the pixel that it came from.
            centred = _shift_down(run, half, moved, other)
        if not dy:
            # The disk's middle row: no move up or down.
            dilated |= centred
        elif dy < dilated.shape[1]:
            # The rows dy below and dy above the middle are alike; what leaves the window is cut off.
            dilated[:, dy:] |= centred[:, :-dy]
            dilated[:, :-dy] |= centred[:, dy:]
    return dilated


@lru_cache(maxsize=64)
def _disk_rows(radius: int) -> tuple[tuple[int, int], ...]:
    """(distance from the middle row, pixels to either side) of the rows of a disk, outermost first."""
    return tuple((dy, isqrt(radius * radius - dy * dy)) for dy in range(radius, -1, -1))


def _pack(masks: NDArray[np.bool_]) -> Words:
    """bool (..., 64 X) to words (..., X)."""
    packed = np.packbits(masks.reshape(-1), bitorder="little").view("<u8")
    return packed.reshape(*masks.shape[:-1], -1)


def _shift_up(words: Words, pixels: int, out: Words, spare: Words) -> Words:
    """Every pixel moved to the right by ``pixels``, rows running on into the next one."""
    flat, moved, carry = words.reshape(-1), out.reshape(-1), spare.reshape(-1)
    skip, bits = divmod(pixels, WORD)
    end = len(flat) - skip
    moved[:skip] = 0
    np.left_shift(flat[:end], np.uint64(bits), out=moved[skip:])
    if bits:
        moved[skip + 1 :] |= np.right_shift(flat[: end - 1], np.uint64(WORD - bits), out=carry[: end - 1])
    return out


def _shift_down(words: Words, pixels: int, out: Words, spare: Words) -> Words:
    """Every pixel moved to the left by ``pixels``, rows running on into the one before."""
    flat, moved, carry = words.reshape(-1), out.reshape(-1), spare.reshape(-1)
    skip, bits = divmod(pixels, WORD)
    end = len(flat) - skip
    moved[end:] = 0
    np.right_shift(flat[skip:], np.uint64(bits), out=moved[:end])
    if bits:
        moved[: end - 1] |= np.left_shift(flat[skip + 1 :], np.uint64(WORD - bits), out=carry[: end - 1])
    return out
