"""Batches of frames drawn from annotated clips, a pure function of (seed, step).

Source: STM Sec. 3.5 (temporally ordered frames, random skips, growing maximum) and STReMN Sec. 4.1.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stremn.data.augment import mirrored, random_affine, random_colour, view_images, view_masks
from stremn.data.batches import ClipBatch, renumber
from stremn.data.clips import Clip, ClipFolder
from stremn.errors import InputError


@dataclass(frozen=True)
class SkipSchedule:
    """The largest number of frames skipped, by training step: grows from ``start`` to ``maximum``, then shrinks.

    Steps 0 to ``rise``·steps: linear growth (STM's curriculum); then constant; from ``fall``·steps on: linear
    shrinking to ``final``, so that training ends on steps between frames like those of testing.
    """

    steps: int
    maximum: int = 5
    start: int = 0
    final: int = 0
    rise: float = 0.5
    fall: float = 0.8

    def __call__(self, step: int) -> int:
        done = step / max(1, self.steps)
        level = np.interp(done, [0, self.rise, self.fall, 1], [self.start, self.maximum, self.maximum, self.final])
        return int(round(float(level)))


class ClipSampler:
    """Short training clips cut from longer ones.

    Args:
        folder: the clips; batch, frames: B and T.
        objects: O; clips with more lose the surplus to the background.
        size: side S of the square frames returned, pixels.
        max_skip: most frames left out between two sampled ones, or a function of the step (``SkipSchedule``).
        augment: flip, affine view and colours, the same for a whole clip.

    Raises InputError when every clip is shorter than ``frames``.
    """

    def __init__(
        self,
        folder: ClipFolder,
        batch: int,
        frames: int,
        objects: int,
        size: int,
        max_skip: int | Callable[[int], int] = 0,
        seed: int = 0,
        augment: bool = True,
    ) -> None:
        self.folder, self.batch_size, self.frames = folder, batch, frames
        self.objects, self.size, self.max_skip, self.seed, self.augment = objects, size, max_skip, seed, augment
        self.usable = [i for i in range(len(folder)) if folder.length(i) >= frames]
        if not self.usable:
            longest = max(folder.length(i) for i in range(len(folder)))
            raise InputError(
                f"expected clips of at least {frames} frames in {folder.root}, found at most {longest}: "
                "ask for fewer frames"
            )

    def batch(self, step: int) -> ClipBatch:
        """The batch of a step: the same for the same seed and step. Every clip has an object in its first frame."""
        rng = np.random.default_rng([self.seed, step])
        skip = self.max_skip(step) if callable(self.max_skip) else self.max_skip
        clips = [self._clip(rng, skip) for _ in range(self.batch_size)]
        frames, masks, present = (torch.stack(parts) for parts in zip(*clips, strict=True))
        return ClipBatch(frames, masks, present)

    def _clip(self, rng: np.random.Generator, skip: int) -> tuple[Tensor, Tensor, Tensor]:
        """One clip: frames (T, 3, S, S), masks (T, S, S), present (O,)."""
        for _ in range(50):
            index = self.usable[rng.integers(len(self.usable))]
            clip = self.folder.take(index, times(rng, self.folder.length(index), self.frames, skip))
            if not clip.masks[0].any():
                continue
            frames, masks = self._view(rng, clip)
            if masks[0].any():
                order = torch.from_numpy(rng.permutation(256))
                return frames, *renumber(masks, self.objects, order)
        raise InputError(f"expected clips with objects in {self.folder.root}, found 50 empty first frames: check masks")

    def _view(self, rng: np.random.Generator, clip: Clip) -> tuple[Tensor, Tensor]:
        """Frames (T, 3, S, S) and ids (T, S, S) of a clip under one random view."""
        frames = torch.from_numpy(clip.frames).permute(0, 3, 1, 2).float() / 255
        masks = torch.from_numpy(clip.masks)
        height, width = masks.shape[1:]
        short = min(height, width)
        if short > 1.5 * self.size:  # shrink with antialiasing first: the view itself has none
            factor = 1.25 * self.size / short
            frames = F.interpolate(frames, scale_factor=factor, mode="bilinear", antialias=True)
        theta = random_affine(rng, 1) if self.augment else torch.eye(2, 3)[None]
        square = torch.tensor([short / width, short / height])
        theta = theta * square[None, :, None]
        if self.augment:
            free = rng.uniform(-1, 1, 2).astype(np.float32) * (1 - square.numpy())
            theta[:, :, 2] += torch.from_numpy(free)
            theta = mirrored(theta, torch.tensor([bool(rng.random() < 0.5)]))
        theta = theta.expand(len(frames), 2, 3)
        views = view_images(frames, theta, self.size)
        if self.augment:
            gain, offset = random_colour(rng)
            views = (views * gain + offset).clamp(0, 1)
        return views, view_masks(masks, theta, self.size)


def times(rng: np.random.Generator, length: int, frames: int, skip: int) -> list[int]:
    """Increasing frame numbers below ``length``, with 0 to ``skip`` frames left out between neighbours."""
    spare = length - frames
    limit = min(skip, spare // max(1, frames - 1))
    steps = 1 + rng.integers(0, limit + 1, frames - 1)
    start = rng.integers(0, length - int(steps.sum()))
    return [int(start), *(int(start) + np.cumsum(steps)).tolist()]
