"""Percentile bootstrap over objects or windows: how far a mean could lie elsewhere with others of them.

They are drawn with replacement, one by one or in groups that belong together; two systems are compared on the
same draws (paired), which removes the differences between easy and hard ones. Efron and Tibshirani 1993,
chapter 13; blocks of time that do not overlap: Carlstein 1986.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stremn.errors import InputError

_CHUNK = 2**22


class Interval(NamedTuple):
    """A mean with the ends of its confidence interval, and the number of objects."""

    mean: float
    low: float
    high: float
    objects: int

    def to_dict(self) -> dict[str, float]:
        """JSON form."""
        return self._asdict()


def bootstrap_mean(
    values: np.ndarray, *, level: float = 0.95, resamples: int = 5000, seed: int = 0
) -> Interval:
    """Interval of the mean of ``values`` (N,), one value an object. Deterministic by seed."""
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise InputError(f"expected finite values, one an object, found an array of shape {values.shape}")
    if not 0 < level < 1 or resamples < 1:
        raise InputError(f"expected 0 < level < 1 and resamples ≥ 1, found {level} and {resamples}")
    generator = np.random.default_rng(seed)
    size = max(1, _CHUNK // len(values))
    means = [
        values[generator.integers(0, len(values), (min(size, resamples - start), len(values)))].mean(axis=1)
        for start in range(0, resamples, size)
    ]
    return Interval(float(values.mean()), *_ends(np.concatenate(means), level), len(values))


def paired_difference(first: Mapping[str, float], second: Mapping[str, float], **options: float) -> Interval:
    """Interval of the mean of first − second over the same objects (name → value).

    InputError when the two have different objects. options: as :func:`bootstrap_mean`.
    """
    if first.keys() != second.keys():
        odd = sorted(first.keys() ^ second.keys())
        raise InputError(f"expected the same objects in both systems, found {len(odd)} in one only: {odd[0]}")
    return bootstrap_mean(np.array([first[name] - second[name] for name in first]), **options)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Groups:
    """What a bootstrap of windows draws as a whole.

    Attributes:
        labels: the group of each window.
        unit: what a group is: people, videos, or blocks of so many frames.
    """

    labels: list[str]
    unit: str

    def __str__(self) -> str:
        return f"{len(set(self.labels))} {self.unit}"


def groups_of_windows(names: Sequence[str], frames: int) -> Groups:
    """Groups of test windows that are not independent of each other.

    Args:
        names: ``<video>@<first frame>`` of each window; a video's name begins with its person and ``_``, or has
            none.
        frames: length of a window.

    Windows of one person, or of one video, are one group. Where that leaves a single group (one long video),
    nothing could be drawn again, so windows are grouped by time: those that begin in the same ``frames`` frames of
    a video are a block. Windows share frames with their own and the neighbouring blocks only; but neighbouring
    blocks show the same scene, so such intervals are too narrow rather than too wide, and say nothing of other
    videos. With one block left, the interval has no width.

    Raises InputError when a name has another form or frames < 1.
    """
    split = [name.rpartition("@") for name in names]
    odd = [name for name, (_, _, first) in zip(names, split, strict=True) if not first.isdecimal()]
    if odd or frames < 1:
        raise InputError(
            f"expected windows <video>@<first frame> of frames ≥ 1, found {odd[:1]} and {frames}"
        )
    videos = [video for video, _, _ in split]
    people = [video.split("_")[0] for video in videos]
    if len(set(people)) > 1:
        return Groups(people, "people" if len(set(videos)) > len(set(people)) else "videos")
    blocks = [f"{video}@{int(first) // frames * frames}" for video, _, first in split]
    return Groups(blocks, f"blocks of {frames} frames")


def bootstrap_interval(
    values: np.ndarray,
    *,
    groups: Sequence[str] | None = None,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile interval of the mean of ``values`` (N,), drawn again by clip or by group of clips.

    Give it the differences of two systems' values of the same clips for a paired comparison.
    """
    if groups is not None and len(groups) != len(values):
        raise InputError(f"expected one group label for each of {len(values)} clips, found {len(groups)}")
    index = (
        np.arange(len(values)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    )
    totals, sizes = np.bincount(index, weights=values), np.bincount(index)
    draws = np.random.default_rng(seed).integers(0, len(totals), (resamples, len(totals)))
    return _ends(totals[draws].sum(1) / sizes[draws].sum(1), level)


def _ends(means: np.ndarray, level: float) -> tuple[float, float]:
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
