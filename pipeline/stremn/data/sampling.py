"""Batches of frames drawn from annotated clips, a pure function of (seed, step).

Source: STM Sec. 3.5 (temporally ordered frames, random skips, growing maximum) and STReMN Sec. 4.1.
B clips, T frames, O objects, H W pixels, S the side of a crop.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stremn.data.annotated import Clips
from stremn.data.augment import compose, mirrored, random_affine, random_colours, share_in_view, view_many
from stremn.data.batches import IGNORED, ClipBatch, renumber
from stremn.data.clips import VOID, Clip
from stremn.data.returns import Returns
from stremn.errors import InputError

TRIES = 100  # random cuts before a dataset is declared unfit


@dataclass(frozen=True)
class SkipSchedule:
    """The largest number of frames skipped, by training step: from ``start`` to ``maximum``, then down.

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
        level = np.interp(
            done, [0, self.rise, self.fall, 1], [self.start, self.maximum, self.maximum, self.final]
        )
        return round(float(level))


class ClipSampler:
    """Short training clips cut from longer ones, of annotated frames only.

    Void pixels of the masks become ``IGNORED`` in a batch: no object, no background, no loss.

    Args:
        clips: to cut from; batch, frames: B and T.
        objects: O; clips with more lose the surplus to the background.
        size: side S of the square frames returned, pixels.
        max_skip: most frames left out between two sampled ones, or a function of the step (``SkipSchedule``).
        augment: flip, affine view and colours, the same for a whole clip.
        jitter: a small affine movement of each frame besides (rotation and shear in radians, shift in half
            sides of the crop, zoom, all within ± this); 0: none.
        least_area: the largest object of a clip's first frame covers at least this share of the crop.
        returns: shows frames of returns instead, in ``share`` of the clips that have any; None: never.

    Raises InputError when every clip has fewer than ``frames`` annotated frames, and in ``batch`` when 100
    random cuts show no object.
    """

    def __init__(
        self,
        clips: Clips,
        batch: int,
        frames: int,
        objects: int,
        size: int,
        max_skip: int | Callable[[int], int] = 0,
        seed: int = 0,
        augment: bool = True,
        jitter: float = 0.0,
        least_area: float = 0.005,
        returns: Returns | None = None,
        share: float = 0.5,
    ) -> None:
        self.clips, self.batch_size, self.frames = clips, batch, frames
        self.objects, self.size, self.max_skip, self.seed, self.augment = (
            objects,
            size,
            max_skip,
            seed,
            augment,
        )
        self.jitter, self.least_area = jitter, least_area
        self.returns, self.share = returns, share
        self.usable = [i for i in range(len(clips)) if len(clips.annotated(i)) >= frames]
        if not self.usable:
            longest = max(clips.length(i) for i in range(len(clips)))
            raise InputError(
                f"expected clips of at least {frames} frames in {clips.root}, found at most {longest}: "
                "ask for fewer frames"
            )

    def batch(self, step: int) -> ClipBatch:
        """The batch of a step, the same for the same seed. Every clip has an object in its first frame."""
        rng = np.random.default_rng([self.seed, step])
        skip = self.max_skip(step) if callable(self.max_skip) else self.max_skip
        frames, masks = view_many([self._clip(rng, skip) for _ in range(self.batch_size)], self.size)
        if self.augment:
            gain, offset = random_colours(rng, len(frames))
            frames = (frames * gain + offset).clamp_(0, 1)
        numbered = [_numbered(ids, self.objects, torch.from_numpy(rng.permutation(256))) for ids in masks]
        ids, present = (torch.stack(parts) for parts in zip(*numbered, strict=True))
        return ClipBatch(frames, ids, present)

    def _clip(self, rng: np.random.Generator, skip: int) -> tuple[Tensor, Tensor, Tensor]:
        """Frames (T, 3, H, W), ids (T, H, W) and the view (T, 2, 3) of one clip."""
        for _ in range(TRIES):
            index = self.usable[rng.integers(len(self.usable))]
            known = self.clips.annotated(index)
            chosen = self._returning(rng, index)
            if chosen is None:
                chosen = [known[t] for t in times(rng, len(known), self.frames, skip)]
            clip = self.clips.take(index, chosen)
            masks = torch.from_numpy(clip.masks)
            theta = self._views(rng, masks.shape[1], masks.shape[2])
            first = torch.where(masks[0] == VOID, 0, masks[0])
            if share_in_view(first, theta[0]) > 0.3 and largest_in_view(first, theta[0]) >= self.least_area:
                return self._pixels(clip), masks, theta
        raise InputError(
            f"expected clips with objects of {self.least_area:.1%} of a crop in {self.clips.root}, found none "
            f"in {TRIES} random first frames: check the masks or lower least_area"
        )

    def _returning(self, rng: np.random.Generator, index: int) -> list[int] | None:
        """Frames of a return, where such are asked for and the clip has one."""
        if self.returns is None or rng.random() >= self.share:
            return None
        return self.returns.draw(rng, index, self.frames)

    def _views(self, rng: np.random.Generator, height: int, width: int) -> Tensor:
        """The view (T, 2, 3) of each frame: one for all, moved a little where there is jitter."""
        theta = self._theta(rng, height, width).expand(self.frames, 2, 3)
        if not self.jitter:
            return theta
        j = self.jitter
        moves = random_affine(rng, self.frames, rotate=j, shear=j, zoom=(1 / (1 + j), 1 + j), shift=j)
        return compose(moves, theta)

    def _theta(self, rng: np.random.Generator, height: int, width: int) -> Tensor:
        """A random square view (2, 3) of a frame; its middle when nothing is augmented."""
        square = torch.tensor([min(1.0, height / width), min(1.0, width / height)])
        if not self.augment:
            return torch.diag(square) @ torch.eye(2, 3)
        theta = random_affine(rng, 1)[0] * square[:, None]
        theta[:, 2] += (1 - square) * torch.from_numpy(rng.uniform(-1, 1, 2).astype(np.float32))
        return mirrored(theta[None], torch.tensor([bool(rng.random() < 0.5)]))[0]

    def _pixels(self, clip: Clip) -> Tensor:
        """Frames (T, 3, H, W) in [0, 1]; large ones shrunk with antialiasing, which the view lacks."""
        frames = torch.from_numpy(clip.frames).permute(0, 3, 1, 2).float() / 255
        factor = 1.25 * self.size / min(frames.shape[2:])
        if factor >= 0.8:
            return frames
        return F.interpolate(frames, scale_factor=factor, mode="bilinear", antialias=True)


def largest_in_view(mask: Tensor, theta: Tensor) -> float:
    """The share of the crop of a map (2, 3) that the largest object of a mask (H, W) covers, about; 0: none."""
    rows, columns = np.nonzero(mask.numpy())
    height, width = mask.shape
    matrix = theta.numpy()
    points = np.stack([(2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1]) - matrix[:, 2:]
    seen = (np.abs(np.linalg.solve(matrix[:, :2], points)) < 1).all(axis=0)
    pixels = np.bincount(mask.numpy()[rows[seen], columns[seen]], minlength=1).max()
    return float(pixels / (height * width * abs(np.linalg.det(matrix[:, :2]))))


def _numbered(masks: Tensor, objects: int, order: Tensor) -> tuple[Tensor, Tensor]:
    """``renumber`` of masks (T, S, S) with void pixels, which become IGNORED."""
    void = masks == VOID
    ids, present = renumber(masks.masked_fill(void, 0), objects, order)
    return ids.masked_fill(void, IGNORED), present


def times(rng: np.random.Generator, length: int, frames: int, skip: int) -> list[int]:
    """Increasing frame numbers below ``length``, with 0 to ``skip`` frames left out between neighbours."""
    spare = length - frames
    limit = min(skip, spare // max(1, frames - 1))
    steps = 1 + rng.integers(0, limit + 1, frames - 1)
    start = rng.integers(0, length - int(steps.sum()))
    return [int(start), *(int(start) + np.cumsum(steps)).tolist()]
