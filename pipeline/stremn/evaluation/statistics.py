"""Mean, recall and decay of a sequence of per-frame values (DAVIS 2017 evaluation, ``utils.py``)."""

import numpy as np

RECALL_THRESHOLD = 0.5

COLUMNS = ("J&F-Mean", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay")
"""The official columns."""


def recall(values: np.ndarray, threshold: float = RECALL_THRESHOLD) -> float:
    """Share of the frames whose value lies strictly above the threshold. values: (T,)."""
    return float(np.mean(np.asarray(values) > threshold))


def decay(values: np.ndarray) -> float:
    """Mean of the first quarter of the frames minus mean of the last. values: (T,), T ≥ 1.

    Quarters end at frame round(i (T − 1) / 4), halves up, and share that frame with the next one.
    Differs: the official tool keeps these indices in eight bits and is wrong from 256 frames on; below
    that the two agree.
    """
    values = np.asarray(values, np.float64)
    edges = [(i * (len(values) - 1) + 2) // 4 for i in range(5)]
    return float(values[edges[0] : edges[1] + 1].mean() - values[edges[3] : edges[4] + 1].mean())


def summary(j: np.ndarray, f: np.ndarray) -> dict[str, float]:
    """The seven official columns of one object, from its per-frame J and F (T,)."""
    j_mean, f_mean = float(np.mean(j)), float(np.mean(f))
    return {
        "J&F-Mean": (j_mean + f_mean) / 2,
        "J-Mean": j_mean,
        "J-Recall": recall(j),
        "J-Decay": decay(j),
        "F-Mean": f_mean,
        "F-Recall": recall(f),
        "F-Decay": decay(f),
    }


def average(objects: list[dict[str, float]]) -> dict[str, float]:
    """Mean of every column over the objects (not over the videos)."""
    return {column: float(np.mean([row[column] for row in objects])) for column in objects[0]}
