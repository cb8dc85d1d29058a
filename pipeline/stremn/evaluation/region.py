"""Region similarity J (DAVIS 2017 evaluation, ``metrics.py``): intersection over union."""

import numpy as np

from stremn.evaluation.bitmask import Packed, count


def region_similarity(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """J of binary masks (..., H, W): float64 (...) in [0, 1]; an empty union gives 1."""
    predicted, truth = np.asarray(predicted, bool), np.asarray(truth, bool)
    common = np.count_nonzero(predicted & truth, axis=(-2, -1))
    union = np.count_nonzero(predicted | truth, axis=(-2, -1))
    return np.where(union == 0, 1.0, common / np.maximum(union, 1))


def packed_similarity(pair: Packed) -> float:
    """J of two packed masks, of which one at least is not empty; equal to :func:`region_similarity`."""
    words = pair.words_2YX
    first, second = count(words)
    (common,) = count(np.bitwise_and(words[:1], words[1:], out=pair.spare[0, :1]))
    return common / (first + second - common)
