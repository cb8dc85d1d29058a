"""Objects drawn over frames, in the colours of DAVIS or in given ones."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter

from stremn.data.clips import Pixels, palette

STRENGTH = 0.45  # of the colour inside an object
LINE = 1 / 240  # width of the contour, in shorter sides of the frame


def draw_overlay(frame: Pixels, ids: NDArray[np.integer], colours: Pixels | None = None) -> Pixels:
    """A frame with its objects coloured in and outlined.

    Args:
        frame: uint8 (H, W, 3) RGB.
        ids: object ids 0..255 (H, W), 0 is background.
        colours: uint8 (N, 3) RGB, of object 1 first; they repeat after N. None: the palette of DAVIS.

    Returns:
        uint8 (H, W, 3); background pixels are the frame's own.
    """
    if not ids.any():
        return frame.copy()
    listed = palette()[1:] if colours is None else colours
    fill = listed[(np.maximum(ids, 1).astype(int) - 1) % len(listed)].astype(np.float32)
    mixed = frame + STRENGTH * (fill - frame)
    width = 2 * max(1, round(min(ids.shape) * LINE)) + 1
    small = ids.astype(np.uint8)
    contour = maximum_filter(small, width) != minimum_filter(small, width)
    drawn = np.where(contour[..., None], np.minimum(fill * 1.4 + 60, 255), mixed)
    return np.where((ids > 0)[..., None], drawn, frame).round().astype(np.uint8)


def side_by_side(frame: Pixels, drawn: Pixels) -> Pixels:
    """A frame and what was drawn over it, uint8 (H, 2W, 3)."""
    return np.concatenate([frame, drawn], 1)


def matte(probability: NDArray[np.floating]) -> Pixels:
    """A probability in [0, 1] as opacity, uint8 (H, W): 0 is clear, 255 opaque."""
    return np.round(np.clip(probability, 0, 1) * 255).astype(np.uint8)


def cut_out(frame: Pixels, opacity: Pixels) -> Pixels:
    """A frame of which only the objects are seen, uint8 (H, W, 4) RGBA; colours are not premultiplied."""
    return np.concatenate([frame, opacity[..., None]], -1)
