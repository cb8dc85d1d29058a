"""Contour accuracy F (DAVIS 2017 evaluation, ``metrics.py``): boundaries matched within a tolerance."""

import math

import numpy as np

from stremn.evaluation.bitmask import Packed, Packer, boundary, count, dilate

TOLERANCE = 0.008
"""Matching distance as a share of the frame's diagonal."""


def matching_radius(height: int, width: int, tolerance: float = TOLERANCE) -> int:
    """Radius of the matching disk in pixels: the tolerance times the diagonal, rounded up."""
    return math.ceil(tolerance * float(np.linalg.norm((height, width))))


def contour_accuracy(predicted: np.ndarray, truth: np.ndarray, tolerance: float = TOLERANCE) -> np.ndarray:
    """F of binary masks (..., H, W): float64 (...) in [0, 1].

    Precision: share of the predicted boundary within the radius of the true one; recall: the
    reverse; F is their harmonic mean. Both boundaries empty give 1, exactly one gives 0.
    """
    predicted, truth = np.asarray(predicted, bool), np.asarray(truth, bool)
    height, width = truth.shape[-2:]
    radius = matching_radius(height, width, tolerance)
    packer = Packer(height, width, radius)
    values = []
    for pair in zip(predicted.reshape(-1, height, width), truth.reshape(-1, height, width), strict=True):
        packer.masks_2HW[:] = pair
        packed = packer.pack()
        values.append(1.0 if packed is None else packed_accuracy(packed, radius))
    return np.array(values).reshape(truth.shape[:-2])


def packed_accuracy(pair: Packed, radius: int) -> float:
    """F of two packed masks, matched within ``radius`` pixels."""
    edges = boundary(pair)
    first, second = count(edges)
    if not first or not second:
        return float(first == second)
    near = dilate(edges, radius, pair.spare[1:])
    matched = count(np.bitwise_and(edges, near[::-1], out=pair.spare[-1]))
    precision, recall = matched[0] / first, matched[1] / second
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
