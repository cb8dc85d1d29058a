"""A batch of clips, as training sees it.

Letters: B clips, T frames, O objects, H W pixels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ClipBatch:
    """Clips of equal shape.

    Attributes:
        frames: RGB in [0, 1], float32 (B, T, 3, H, W).
        masks: object ids, int64 (B, T, H, W), 0 is background; the ids of a clip are 1…n.
        present: boolean (B, O), the clip has an object of that id. An object may first appear after
            frame 0.
    """

    frames: Tensor
    masks: Tensor
    present: Tensor

    def to(self, device: str | torch.device) -> "ClipBatch":
        """The same batch on a device."""
        return ClipBatch(self.frames.to(device), self.masks.to(device), self.present.to(device))
