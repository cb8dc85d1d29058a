"""Region similarity J (DAVIS 2017 evaluation, ``metrics.py``): intersection over union."""

import numpy as np

from stremn.evaluation.bitmask import Pair


def region_similarity(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """J of binary masks (..., H, W): float64 (...) in [0, 1]; an empty union gives 1."""
    predicted, truth = np.asarray(predicted, bool), np.asarray(truth, bool)
    common = np.count_nonzero(predicted & truth, axis=(-2, -1))
    union = np.count_nonzero(predicted | truth, axis=(-2, -1))
    return np.where(union == 0, 1.0, common / np.maximum(union, 1))


def pair_similarity(pair: Pair) -> float:
    """J of two packed masks, equal to :func:`region_similarity`."""
    union = (pair.first | pair.second).bit_count()
    return (pair.first & pair.second).bit_count() / union if union else 1.0
