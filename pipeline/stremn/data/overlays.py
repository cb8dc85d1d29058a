"""Objects drawn over frames, in the colours of DAVIS."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter

from stremn.data.clips import Pixels, palette

STRENGTH = 0.45  # of the colour inside an object
LINE = 1 / 240  # width of the contour, in shorter sides of the frame


def draw_overlay(frame: Pixels, ids: NDArray[np.integer]) -> Pixels:
    """A frame with its objects coloured in and outlined.

    Args:
        frame: uint8 (H, W, 3) RGB.
        ids: object ids 0..255 (H, W), 0 is background.

    Returns:
        uint8 (H, W, 3); background pixels are the frame's own.
    """
    if not ids.any():
        return frame.copy()
    colours = palette()[ids.astype(np.uint8)].astype(np.float32)
    mixed = frame + STRENGTH * (colours - frame)
    width = 2 * max(1, round(min(ids.shape) * LINE)) + 1
    small = ids.astype(np.uint8)
    contour = maximum_filter(small, width) != minimum_filter(small, width)
    drawn = np.where(contour[..., None], np.minimum(colours * 1.4 + 60, 255), mixed)
    return np.where((ids > 0)[..., None], drawn, frame).round().astype(np.uint8)
