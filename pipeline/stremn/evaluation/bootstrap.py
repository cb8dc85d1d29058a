"""Percentile bootstrap over objects: how far a mean could lie elsewhere with other objects.

Objects are drawn with replacement; two systems are compared on the same draws (paired), which
removes the differences between easy and hard objects. Efron and Tibshirani 1993, chapter 13.
"""

from collections.abc import Mapping
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
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values.mean()), float(low), float(high), len(values))


def paired_difference(first: Mapping[str, float], second: Mapping[str, float], **options: float) -> Interval:
    """Interval of the mean of first − second over the same objects (name → value).

    InputError when the two have different objects. options: as :func:`bootstrap_mean`.
    """
    if first.keys() != second.keys():
        odd = sorted(first.keys() ^ second.keys())
        raise InputError(f"expected the same objects in both systems, found {len(odd)} in one only: {odd[0]}")
    return bootstrap_mean(np.array([first[name] - second[name] for name in first]), **options)  # type: ignore[arg-type]
