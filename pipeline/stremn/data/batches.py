"""What a training step sees of clips, and batches by step number, made ahead of time by worker processes.

B clips, O objects, T frames, H W pixels.
"""

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

IGNORED = -100  # label of void pixels in a batch: no object, no background, no loss
Batch = TypeVar("Batch", covariant=True)


@dataclass(frozen=True)
class ClipBatch:
    """A batch of annotated clips.

    frames (B, T, 3, H, W) float32 RGB in [0, 1]; masks (B, T, H, W) int64, ids 0..O, 0 is background;
    present (B, O) bool: the object exists somewhere in the clip (it may first appear after frame 0).
    The ids of a clip are 1..n without gaps.
    """

    frames: Tensor
    masks: Tensor
    present: Tensor

    def to(self, device: torch.device | str) -> "ClipBatch":
        """The same batch on a device."""
        return ClipBatch(self.frames.to(device), self.masks.to(device), self.present.to(device))

    def pin_memory(self) -> "ClipBatch":
        """The same batch in page-locked memory (called by torch's DataLoader)."""
        return ClipBatch(self.frames.pin_memory(), self.masks.pin_memory(), self.present.pin_memory())


def renumber(masks: Tensor, objects: int, order: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Give the ids found in masks (T, H, W) the numbers 1..n; objects beyond ``objects`` become background.

    Ids visible in frame 0 come first, so that one of them is always kept. ``order``: a permutation of 256
    ids that decides among them (random order in training). Returns masks int64 and present (objects,) bool.
    """
    order = torch.arange(256) if order is None else order
    first = set(torch.unique(masks[0]).tolist()) - {0}
    others = set(torch.unique(masks).tolist()) - {0} - first
    ranked = sorted(first, key=lambda i: int(order[i])) + sorted(others, key=lambda i: int(order[i]))
    table = torch.zeros(256, dtype=torch.int64)
    kept = ranked[:objects]
    for number, old in enumerate(kept, start=1):
        table[old] = number
    return table[masks.long()], torch.arange(objects) < len(kept)


class Sampler(Protocol[Batch]):
    """Anything whose batch is a function of its seed and the step."""

    seed: int

    def batch(self, step: int) -> Batch: ...


def with_seed(sampler: Sampler[Batch], seed: int) -> Sampler[Batch]:
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
