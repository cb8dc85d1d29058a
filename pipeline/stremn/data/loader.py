"""Batches by step number, made ahead of time by worker processes."""

from collections.abc import Iterator
from copy import copy
from typing import Protocol, TypeVar

from torch.utils.data import DataLoader, Dataset

Batch = TypeVar("Batch", covariant=True)


class Sampler(Protocol[Batch]):
    """Anything whose batch is a function of the step."""

    def batch(self, step: int) -> Batch: ...


class Seeded(Protocol):
    """A sampler whose draws depend on a seed."""

    seed: int


Drawn = TypeVar("Drawn", bound=Seeded)


def with_seed(sampler: Drawn, seed: int) -> Drawn:
    """The same sampler with another seed; the one given stays as it is."""
    other = copy(sampler)
    other.seed = seed
    return other


class _Steps(Dataset):
    def __init__(self, sampler: Sampler, start: int, stop: int) -> None:
        self.sampler, self.start, self.stop = sampler, start, stop

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, index: int) -> object:
        return self.sampler.batch(self.start + index)


def batches(sampler: Sampler[Batch], start: int, stop: int, workers: int = 0) -> Iterator[Batch]:
    """``sampler.batch(step)`` for start ≤ step < stop, in order; ``workers`` processes work ahead (0: none).

    The batches do not depend on the number of workers.
    """
    if stop <= start:
        return
    yield from DataLoader(_Steps(sampler, start, stop), batch_size=None, shuffle=False, num_workers=workers)
