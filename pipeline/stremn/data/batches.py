"""What a training step sees of clips. B clips, O objects, T frames, H W pixels."""

from dataclasses import dataclass

import torch
from torch import Tensor


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
