"""Contour accuracy F (DAVIS 2017 evaluation, ``metrics.py``): boundaries matched within a tolerance."""

import math

import numpy as np

from stremn.evaluation.bitmask import Packed, boundary, count, dilate

TOLERANCE = 0.008
"""Matching distance as a share of the frame's diagonal."""


def matching_radius(height: int, width: int, tolerance: float = TOLERANCE) -> int:
    """Radius of the matching disk in pixels: the tolerance times the diagonal, rounded up."""
    return math.ceil(tolerance * float(np.linalg.norm((height, width))))


def packed_accuracy(pair: Packed, radius: int) -> float:
    """F of two packed masks, of which one at least is not empty: a number in [0, 1].

    Precision: share of the predicted boundary within ``radius`` pixels of the true one; recall: the
    reverse; F is their harmonic mean. Both boundaries empty give 1, exactly one gives 0.
    """
    edges = boundary(pair)
    first, second = count(edges)
    if not first or not second:
        return float(first == second)
    near = dilate(edges, radius, pair.spare[1:])
    matched = count(np.bitwise_and(edges, near[::-1], out=pair.spare[-1]))
    precision, recall = matched[0] / first, matched[1] / second
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
