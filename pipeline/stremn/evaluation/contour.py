"""Contour accuracy F (DAVIS 2017 evaluation, ``metrics.py``): boundaries matched within a tolerance."""

import math

import numpy as np

from stremn.evaluation.bitmask import Pair, boundary, dilate, pack_pairs

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
    pairs = pack_pairs(predicted.reshape(-1, height, width), truth.reshape(-1, height, width), radius)
    return np.array([pair_accuracy(pair, radius) for pair in pairs]).reshape(truth.shape[:-2])


def pair_accuracy(pair: Pair, radius: int) -> float:
    """F of two packed masks, matched within ``radius`` pixels."""
    stride = pair.window.stride
    first, second = boundary(pair.first, pair.window), boundary(pair.second, pair.window)
    if first == second:
        return 1.0
    if not first or not second:
        return 0.0
    precision = (first & dilate(second, stride, radius)).bit_count() / first.bit_count()
    recall = (second & dilate(first, stride, radius)).bit_count() / second.bit_count()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
