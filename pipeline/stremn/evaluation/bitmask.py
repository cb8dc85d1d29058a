"""Binary masks as words of 64 pixels: a mask is shifted, joined or counted 64 pixels at a time.

Letters: H W pixels; Y rows and X words of a window. Pixel (y, x) of a frame is bit ``x % 64`` of word
``x // 64`` of row y. Two masks that are compared share a window, ``words_2YX``: the part of the frame that
they occupy together, and at the end of every row empty words, so that a shift never reaches the next row.
"""

from functools import lru_cache
from math import isqrt

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
WORD = 64


class Packer:
    """Packs two masks of one frame into words; its buffers serve every frame of one size.

    height, width: of the frame. radius: how far, in pixels, the masks will be dilated.
    """

    def __init__(self, height: int, width: int, radius: int) -> None:
        self.height, self.width = height, width
        self.guard = -(-max(radius, 1) // WORD)
        words = -(-width // WORD)
        self._masks = np.zeros((2, height, words * WORD), bool)
        row = np.zeros(words * WORD, bool)
        row[: width - 1] = True
        self._inner = _pack(row)

    @property
    def masks_2HW(self) -> NDArray[np.bool_]:
        """The two masks of the frame, to be filled in before :meth:`pack`."""
        return self._masks[:, :, : self.width]

    def pack(self) -> tuple[Words, Words] | None:
        """The window ``words_2YX`` of the masks, and ``inner_X``: the bits of all columns but the frame's last.

        None where both masks are empty. The window begins one pixel before the masks and ends one row after
        them, as far as the frame has these.
        """
        packed = _pack(self._masks)
        either = packed[0] | packed[1]
        rows = np.flatnonzero(np.bitwise_or.reduce(either, axis=1))
        if not len(rows):
            return None
        column_words = np.bitwise_or.reduce(either, axis=0)
        used = np.flatnonzero(column_words)
        top, bottom = max(int(rows[0]) - 1, 0), min(int(rows[-1]) + 2, self.height)
        left, right = int(used[0]), int(used[-1]) + 1
        if left and int(column_words[left]) & 1:
            left -= 1
        words = np.zeros((2, bottom - top, right - left + self.guard), np.uint64)
        words[:, :, : right - left] = packed[:, top:bottom, left:right]
        inner = np.zeros(words.shape[2], np.uint64)
        inner[: right - left] = self._inner[left:right]
        return words, inner


def count(words: Words) -> list[int]:
    """How many pixels are set in each of several masks, words (N, Y, X)."""
    return np.bitwise_count(words).sum(axis=(1, 2), dtype=np.int64).tolist()


def boundary(words_2YX: Words, inner_X: Words) -> Words:
    """One-pixel boundaries: pixels that differ from their right, lower or lower-right neighbour.

    The last row looks only to the right, the last column only downwards, the last corner nowhere
    (DAVIS 2017 evaluation, ``seg2bmap``). Arguments: as :meth:`Packer.pack` returns them.
    """
    right = _shift_down(words_2YX, 1, np.empty((2, *words_2YX.shape), np.uint64))
    edge = words_2YX ^ right
    edge[:, :-1] |= words_2YX[:, :-1] ^ right[:, 1:]
    edge &= inner_X
    edge[:, :-1] |= words_2YX[:, :-1] ^ words_2YX[:, 1:]
    return edge


def dilate(words_2YX: Words, radius: int) -> Words:
    """Every pixel within ``radius`` (Euclidean, inclusive) of a pixel of the mask, for each mask.

    The disk is the union of its rows, and a row is a run of neighbouring copies of the mask; runs only
    grow from the disk's outer rows to its middle, so each is made from the one before. What lies outside
    the frame, in the empty words at the end of a row, has no meaning.
    """
    dilated, run, length, centred = words_2YX.copy(), words_2YX.copy(), 1, words_2YX
    scratch = np.empty((2, *words_2YX.shape), np.uint64)
    for dy, half in _disk_rows(radius):
        if length < 2 * half + 1:
            while length < 2 * half + 1:
                step = min(length, 2 * half + 1 - length)
                run |= _shift_up(run, step, scratch)
                length += step
            centred = _shift_down(run, half, scratch)
        if not dy:
            dilated |= centred
        elif dy < dilated.shape[1]:
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


def _shift_up(words: Words, pixels: int, scratch: Words) -> Words:
    """Every pixel moved to the right by ``pixels``, rows running on into the next one; in ``scratch[0]``."""
    (moved, carry), flat = scratch.reshape(2, -1), words.reshape(-1)
    skip, bits = divmod(pixels, WORD)
    end = len(flat) - skip
    moved[:skip] = 0
    np.left_shift(flat[:end], np.uint64(bits), out=moved[skip:])
    if bits:
        np.right_shift(flat[: end - 1], np.uint64(WORD - bits), out=carry[: end - 1])
        moved[skip + 1 :] |= carry[: end - 1]
    return scratch[0]


def _shift_down(words: Words, pixels: int, scratch: Words) -> Words:
    """Every pixel moved to the left by ``pixels``, rows running on into the one before; in ``scratch[0]``."""
    (moved, carry), flat = scratch.reshape(2, -1), words.reshape(-1)
    skip, bits = divmod(pixels, WORD)
    end = len(flat) - skip
    moved[end:] = 0
    np.right_shift(flat[skip:], np.uint64(bits), out=moved[:end])
    if bits:
        np.left_shift(flat[skip + 1 :], np.uint64(WORD - bits), out=carry[: end - 1])
        moved[: end - 1] |= carry[: end - 1]
    return scratch[0]
