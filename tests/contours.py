"""F of masks as arrays, by the packed code that scores sequences."""

import numpy as np

from stremn.evaluation.bitmask import Packer
from stremn.evaluation.contour import TOLERANCE, matching_radius, packed_accuracy


def contour_accuracy(predicted: np.ndarray, truth: np.ndarray, tolerance: float = TOLERANCE) -> np.ndarray:
    """F of binary masks (..., H, W): float64 (...) in [0, 1]."""
    height, width = truth.shape[-2:]
    radius = matching_radius(height, width, tolerance)
    packer = Packer(height, width, radius)
    values = []
    for pair in zip(predicted.reshape(-1, height, width), truth.reshape(-1, height, width), strict=True):
        packer.masks_2HW[:] = pair
        packed = packer.pack()
        values.append(1.0 if packed is None else packed_accuracy(packed, radius))
    return np.array(values).reshape(truth.shape[:-2])
