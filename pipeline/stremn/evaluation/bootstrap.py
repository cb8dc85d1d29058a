"""Percentile bootstrap over objects or windows: how far a mean could lie elsewhere with others of them.

They are drawn with replacement, one by one or in groups that belong together; two systems are compared on the
same draws (paired), which removes the differences between easy and hard ones. Efron and Tibshirani 1993,
chapter 13; blocks of time that do not overlap: Carlstein 1986.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import stats

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
    values: np.ndarray,
    *,
    groups: Sequence[str] | None = None,
    level: float = 0.95,
    resamples: int = 5000,
    seed: int = 0,
) -> Interval:
    """Percentile interval of the mean of ``values``, by ``scipy.stats.bootstrap``.

    Args:
        values: float (N,), one value an object, or the differences of two systems on the same objects.
        groups: N labels of what is drawn again as a whole; None: each object on its own. A single group (or
            object) gives an interval without width.
        level: of confidence, in (0, 1).
        resamples: how often the groups are drawn again.
        seed: the same seed gives the same interval.

    Raises:
        InputError: no value, one that is not finite, other numbers of labels, a level outside (0, 1).
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise InputError(f"expected finite values, one an object, found an array of shape {values.shape}")
    if not 0 < level < 1 or resamples < 1:
        raise InputError(f"expected 0 < level < 1 and resamples ≥ 1, found {level} and {resamples}")
    labels = range(len(values)) if groups is None else groups
    if len(labels) != len(values):
        raise InputError(f"expected one group label for each of {len(values)} clips, found {len(labels)}")
    mean = float(values.mean())
    index = np.unique(np.asarray(labels), return_inverse=True)[1]
    # A group counts by its sum and its size, so that a drawn mean is one of all its objects.
    sums, sizes = np.bincount(index, weights=values), np.bincount(index)
    if len(sums) == 1:
        return Interval(mean, mean, mean, len(values))
    found = stats.bootstrap(
        (sums, sizes),
        _mean_of_groups,
        paired=True,
        method="percentile",
        confidence_level=level,
        n_resamples=resamples,
        batch=max(1, _CHUNK // len(sums)),
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(mean, float(found.low), float(found.high), len(values))


def over_trainings(
    values: np.ndarray, groups: Sequence[str], *, resamples: int = 5000, seed: int = 0
) -> tuple[np.ndarray, int]:
    """Sums over trainings and objects, drawn again and again: both could have come out otherwise.

    Trainings and groups of objects are drawn at once, each with replacement, since every training met the same
    objects. With three trainings an interval of such draws says more than one over objects alone, and is still rather
    too narrow.

    Args:
        values: (S, N, C), of S trainings C values of each of the same N objects.
        groups: N labels of what is drawn as a whole, such as the clip of an object.
        resamples: how often.
        seed: the same seed gives the same draws.

    Returns:
        The sums (resamples, C), and the number of groups.

    Raises:
        InputError: no value, one that is not finite, other numbers of labels.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 3 or not values.size or not np.isfinite(values).all():
        raise InputError(f"expected finite values (trainings, objects, …), found an array of {values.shape}")
    if len(groups) != values.shape[1]:
        raise InputError(f"expected one label for each of {values.shape[1]} objects, found {len(groups)}")
    index = np.unique(np.asarray(groups), return_inverse=True)[1]
    count = int(index.max()) + 1
    rng = np.random.default_rng(seed)
    drawn = _times(rng.integers(0, count, (resamples, count)))[:, index]
    trained = _times(rng.integers(0, len(values), (resamples, len(values))))
    return np.einsum("rs,rn,snc->rc", trained, drawn, values, optimize=True), count


def _times(draws: np.ndarray) -> np.ndarray:
    """How often each number is among the draws of a row (R, n): (R, n)."""
    rows, count = draws.shape
    flat = draws + count * np.arange(rows)[:, None]
    return np.bincount(flat.ravel(), minlength=rows * count).reshape(rows, count)


def difference_over_trainings(
    first: Sequence[Mapping[str, float]], second: Sequence[Mapping[str, float]], *, seed: int = 0
) -> Interval:
    """95 % interval of the mean of first − second over trainings and objects, see ``over_trainings``.

    Args:
        first, second: of each training ``<clip>_<id>`` to value; the same objects everywhere.
    """
    gaps = np.array([[a[name] - b[name] for name in first[0]] for a, b in zip(first, second, strict=True)])
    clips = [name.rpartition("_")[0] for name in first[0]]
    drawn, _ = over_trainings(np.stack([gaps, np.ones_like(gaps)], axis=-1), clips, seed=seed)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
    return Interval(float(gaps.mean()), float(low), float(high), gaps.shape[1])


def _mean_of_groups(sums: np.ndarray, sizes: np.ndarray, axis: int = -1) -> np.ndarray:
    return sums.sum(axis) / sizes.sum(axis)


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
