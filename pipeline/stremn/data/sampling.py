"""Training clips drawn from videos (STM Sec. 3.5, STReMN Sec. 4.1.1).

Letters: B clips, T frames, H W pixels.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from stremn.data.augment import augment_clips, relabelled
from stremn.data.batches import ClipBatch
from stremn.data.clips import ClipFolder


def skip_schedule(step: int, steps: int, largest: int, smallest: int = 1) -> int:
    """Maximal skip that grows to ``largest`` over the first 70 % of the steps and then shrinks again."""
    peak = 0.7 * steps
    share = step / peak if step <= peak else (steps - step) / (steps - peak)
    return max(smallest, round(smallest + (largest - smallest) * share))


class ClipSampler:
    """Temporally ordered frames of random clips; the batch of a step depends on seed and step alone.

    Args:
        folder: the videos.
        batch: clips per batch.
        frames: frames per clip.
        objects: most objects per clip; of more a random choice is kept.
        size: height and width of the clips in pixels.
        max_skip: largest distance of two sampled frames.
        seed: of every choice.
        augment: random flip, affine change and colours, one for the whole clip.
        steps: with it the skip grows to ``max_skip`` and shrinks again over so many steps, as in STM.
    """

    def __init__(
        self,
        folder: ClipFolder,
        *,
        batch: int,
        frames: int,
        objects: int,
        size: int,
        max_skip: int = 5,
        seed: int = 0,
        augment: bool = True,
        steps: int | None = None,
    ) -> None:
        self.folder, self.size, self.max_skip, self.seed = folder, size, max_skip, seed
        self.clips, self.frames, self.objects, self.augment, self.steps = batch, frames, objects, augment, steps

    def batch(self, step: int) -> ClipBatch:
        """The batch of a step: every clip has an object in its first frame."""
        rng = np.random.default_rng([self.seed, step])
        images, masks = [], []
        for _ in range(self.clips):
            frames, ids = self._draw(rng, step)
            images.append(frames)
            masks.append(relabelled(rng, ids, self.objects))
        return augment_clips(rng, images, masks, self.objects, self.size, active=self.augment)

    def _draw(self, rng: np.random.Generator, step: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        skip = self.max_skip if self.steps is None else skip_schedule(step, self.steps, self.max_skip)
        for _ in range(50):
            clip = self.folder[int(rng.integers(len(self.folder)))]
            length = len(clip.masks)
            skips = rng.integers(1, min(skip, max(1, (length - 1) // (self.frames - 1) if self.frames > 1 else 1)) + 1, self.frames - 1)
            span = int(skips.sum())
            start = int(rng.integers(max(1, length - span)))
            at = np.minimum(start + np.concatenate([[0], np.cumsum(skips)]), length - 1)
            ids = clip.masks[at]
            if (ids[0] > 0).mean() > 0.005:
                if rng.random() < 0.5 and self.augment and (ids[-1] > 0).mean() > 0.005:
                    at = at[::-1]  # played backwards
                return clip.frames[at], clip.masks[at]
        raise ValueError(f"no clip of {self.folder.root} shows an object in its first frame")


def stack(images: list[NDArray[np.uint8]]) -> torch.Tensor:
    """uint8 (T, H, W, 3) clips as float32 (B, T, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.stack(images)).permute(0, 1, 4, 2, 3).float() / 255
