"""One random change for all frames of a clip: flip, affine map, colours.

Letters: B clips, T frames, O objects, H W pixels.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from stremn.data.batches import ClipBatch


def relabelled(rng: np.random.Generator, ids: NDArray[np.uint8], objects: int) -> NDArray[np.uint8]:
    """Ids 1…n in a random order, at most ``objects`` of them; at least one is in the first frame."""
    first = [int(i) for i in np.unique(ids[0]) if i]
    later = [int(i) for i in np.unique(ids) if i and int(i) not in first]
    order = [int(i) for i in rng.permutation(first)]
    kept = (order + [int(i) for i in rng.permutation(later)])[:objects]
    table = np.zeros(256, np.uint8)
    for new, old in enumerate(rng.permutation(kept), 1):
        table[old] = new
    return table[ids]


def affine_matrices(
    rng: np.random.Generator, count: int, *, turn: float, scale: tuple[float, float], shift: float, shear: float, flip: bool
) -> torch.Tensor:
    """Random maps (count, 2, 3) from output to input coordinates in [−1, 1], for ``affine_grid``.

    Args:
        turn: largest rotation in degrees.
        scale: smallest and largest size of the result relative to the input.
        shift: largest shift as a share of the half side.
        shear: largest shear.
        flip: mirror half of them.
    """
    angle = np.deg2rad(rng.uniform(-turn, turn, count))
    size = np.exp(rng.uniform(math.log(scale[0]), math.log(scale[1]), count))
    mirror = np.where(rng.random(count) < 0.5, -1.0, 1.0) if flip else np.ones(count)
    slant = rng.uniform(-shear, shear, count)
    matrix = np.zeros((count, 2, 3), np.float32)
    matrix[:, 0, 0], matrix[:, 0, 1] = mirror * np.cos(angle) / size, (slant - np.sin(angle)) / size
    matrix[:, 1, 0], matrix[:, 1, 1] = mirror * np.sin(angle) / size, np.cos(angle) / size
    matrix[:, :, 2] = rng.uniform(-shift, shift, (count, 2))
    return torch.from_numpy(matrix)


def warp(maps: torch.Tensor, matrices: torch.Tensor, size: int, mode: str, outside: str = "reflection") -> torch.Tensor:
    """Images (N, C, H, W) through maps (N, 2, 3), at ``size`` × ``size`` pixels."""
    grid = F.affine_grid(matrices, [len(maps), maps.shape[1], size, size], align_corners=False)
    return F.grid_sample(maps, grid, mode=mode, padding_mode=outside, align_corners=False)


def recolour(rng: np.random.Generator, frames_BT3HW: torch.Tensor, strength: float = 0.25) -> torch.Tensor:
    """Random brightness, contrast and channel gains per clip, clamped to [0, 1]."""
    shape = (len(frames_BT3HW), 1, 3, 1, 1)
    gain = torch.from_numpy(rng.uniform(1 - strength, 1 + strength, shape).astype(np.float32))
    offset = torch.from_numpy(rng.uniform(-strength / 3, strength / 3, (shape[0], 1, 1, 1, 1)).astype(np.float32))
    return (frames_BT3HW * gain + offset).clamp(0, 1)


def augment_clips(
    rng: np.random.Generator,
    images: list[NDArray[np.uint8]],
    masks: list[NDArray[np.uint8]],
    objects: int,
    size: int,
    *,
    active: bool = True,
) -> ClipBatch:
    """A batch of clips (T, H, W, 3) and ids (T, H, W), each with one random change for all its frames.

    A change that would push every object out of the first frame is not made.
    """
    parts = []
    for frames, ids in zip(images, masks, strict=True):
        matrix = affine_matrices(rng, 1, turn=15, scale=(0.85, 1.25), shift=0.1, shear=0.1, flip=True)
        still = torch.eye(2, 3)[None]
        picture = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255
        labels = torch.from_numpy(np.ascontiguousarray(ids))[:, None].float()
        chosen = matrix if active else still
        moved = warp(labels, chosen.expand(len(labels), -1, -1), size, "nearest")
        if not bool(moved[0].any()):
            chosen = still
            moved = warp(labels, chosen.expand(len(labels), -1, -1), size, "nearest")
        parts.append((warp(picture, chosen.expand(len(labels), -1, -1), size, "bilinear"), moved[:, 0].long()))
    frames_BT3HW = torch.stack([p[0] for p in parts])
    if active:
        frames_BT3HW = recolour(rng, frames_BT3HW)
    ids_BTHW = torch.stack([p[1] for p in parts])
    numbers = torch.arange(1, objects + 1)
    present = (ids_BTHW[:, None] == numbers[:, None, None, None]).flatten(2).any(-1)
    return ClipBatch(frames_BT3HW, ids_BTHW, present)
