"""Tables of video prediction: pure functions of scores."""

from collections.abc import Mapping, Sequence

import numpy as np

from stremn.evaluation.bootstrap import bootstrap_mean
from stremn.evaluation.prediction import PredictionScores
from stremn.report.papers import TABLES

Difference = tuple[float, float, float]


def label(name: str) -> str:
    """A system's name as the papers write it; other names stay."""
    return TABLES["stremn-5"].rows.get(name, (name,))[0]


def cells(scores: PredictionScores) -> dict[str, str]:
    """Each metric's mean with its interval, or why there is none."""
    found = {}
    for metric, value in scores.mean.items():
        interval = scores.interval[metric]
        found[metric] = (
            f"null ({scores.reasons.get(metric, '')})"
            if value is None or interval is None
            else f"{value:.4g} [{interval[0]:.4g}, {interval[1]:.4g}]"
        )
    return found


def note(scores: PredictionScores) -> str:
    """What the intervals of a table are, for the head of its rows; blocks of time are of one video."""
    return f"95 % bootstrap intervals over {scores.drawn}"


def psnr_ahead(
    scores: Mapping[str, PredictionScores], reference: str, groups: Sequence[str], seed: int = 0
) -> dict[str, Difference]:
    """PSNR of each other system minus the reference's in dB, paired by clip: mean and 95 % interval.

    Args:
        scores: by system, of the same N clips in one convention.
        reference: one of them.
        groups: N labels of what is drawn again as a whole.
        seed: of the bootstrap.
    """
    values = {name: np.asarray(one.per_clip["psnr"], np.float64) for name, one in scores.items()}
    found = {}
    for name in (other for other in values if other != reference):
        ahead = values[name] - values[reference]
        found[name] = bootstrap_mean(ahead, groups=groups, resamples=1000, seed=seed)[:3]
    return found
