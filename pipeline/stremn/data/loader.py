"""Batches of a range of steps, prepared in the background when asked."""

from collections.abc import Iterator
from typing import Any, Protocol

from torch.utils.data import DataLoader, Dataset


class Sampler(Protocol):
    """A source of batches: the same step gives the same batch."""

    def batch(self, step: int) -> Any:
        """The batch of a step."""
        ...


class _Steps(Dataset):
    def __init__(self, sampler: Sampler, start: int, stop: int) -> None:
        self.sampler, self.start, self.stop = sampler, start, stop

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, index: int) -> Any:
        return self.sampler.batch(self.start + index)


def batches(sampler: Sampler, start: int, stop: int, *, workers: int = 0) -> Iterator[Any]:
    """The batches of steps ``start`` … ``stop`` − 1, in order.

    Args:
        workers: processes that prepare batches ahead; 0: prepared when asked for.
    """
    if stop <= start:
        return iter(())
    if workers == 0:
        return (sampler.batch(step) for step in range(start, stop))
    return iter(DataLoader(_Steps(sampler, start, stop), batch_size=None, num_workers=workers, prefetch_factor=4))
