"""Random affine views and colours, drawn by NumPy generators and applied by torch to many frames at once.

N images, H W their pixels, S the side of the view. An affine map is a matrix (N, 2, 3) in the convention of
``torch.nn.functional.affine_grid``: it takes output to input positions, both in [-1, 1].
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def random_affine(
    rng: np.random.Generator,
    count: int,
    *,
    rotate: float = 0.2,
    shear: float = 0.1,
    zoom: tuple[float, float] = (0.8, 1.25),
    shift: float = 0.1,
) -> Tensor:
    """Affine maps (count, 2, 3): rotation and shear within ± radians, zoom, shift within ±.

    Zoom (above 1 enlarges) is drawn evenly on a logarithmic scale; shift is in half image sides.
    """
    turn = rng.uniform(-rotate, rotate, count)
    slant = rng.uniform(-shear, shear, count)
    scale = np.exp(-rng.uniform(np.log(zoom[0]), np.log(zoom[1]), count))
    rows = np.stack([np.cos(turn), -np.sin(turn + slant), np.sin(turn), np.cos(turn + slant)], axis=1)
    matrix = rows.reshape(count, 2, 2) * scale[:, None, None]
    offset = rng.uniform(-shift, shift, (count, 2, 1))
    return torch.from_numpy(np.concatenate([matrix, offset], axis=2).astype(np.float32))


def compose(outer: Tensor, inner: Tensor) -> Tensor:
    """The affine map that applies ``outer`` to the output position, then ``inner``: both (N, 2, 3)."""
    return torch.cat(
        [inner[..., :2] @ outer[..., :2], inner[..., :2] @ outer[..., 2:] + inner[..., 2:]], dim=-1
    )


def mirrored(theta: Tensor, flip: Tensor) -> Tensor:
    """The maps (N, 2, 3) with the output flipped left to right where ``flip`` (N,) says so."""
    sign = torch.ones(len(theta), 1, 3)
    sign[:, 0, 0] = torch.where(flip, -1.0, 1.0)
    return theta * sign


def view(
    images: Tensor, masks: Tensor, theta: Tensor, size: int, mirror_masks: bool = True
) -> tuple[Tensor, Tensor]:
    """Images (N, 3, H, W) in [0, 1] and their ids (N, H, W) under maps theta (N, 2, 3).

    Returns images (N, 3, S, S), bilinear and mirrored beyond the edges, and ids int64 (N, S, S), nearest,
    mirrored likewise (so that no mirrored object lacks its label) or else 0 outside.
    """
    grid = F.affine_grid(theta, [len(images), 1, size, size], align_corners=False)
    seen = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    beyond = "reflection" if mirror_masks else "zeros"
    marks = masks[:, None].float()
    ids = F.grid_sample(marks, grid, mode="nearest", padding_mode=beyond, align_corners=False)
    return seen, ids[:, 0].round().long()


def view_many(
    clips: Sequence[tuple[Tensor, Tensor, Tensor]], size: int, mirror_masks: bool = True
) -> tuple[Tensor, Tensor]:
    """``view`` of N clips, those of one shape together.

    Args:
        clips: triples of images (T, 3, H, W), ids (T, H, W) and maps (T, 2, 3); H and W may differ by clip.

    Returns images (N, T, 3, S, S) and ids (N, T, S, S).
    """
    groups: dict[torch.Size, list[int]] = {}
    for number, (images, _, _) in enumerate(clips):
        groups.setdefault(images.shape, []).append(number)
    frames: list[Tensor] = [torch.empty(0)] * len(clips)
    ids = list(frames)
    for shape, members in groups.items():
        pixels, masks, theta = (torch.cat([clips[n][part] for n in members]) for part in range(3))
        seen, marked = view(pixels, masks, theta, size, mirror_masks)
        for place, number in enumerate(members):
            span = slice(place * shape[0], (place + 1) * shape[0])
            frames[number], ids[number] = seen[span], marked[span]
    return torch.stack(frames), torch.stack(ids)


def share_in_view(mask: Tensor, theta: Tensor) -> float:
    """The share of a mask's (H, W) labelled pixels that a map (2, 3) leaves in view; 0 without any."""
    rows, columns = np.nonzero(mask.numpy())
    if not len(rows):
        return 0.0
    height, width = mask.shape
    matrix = theta.numpy()
    points = np.stack([(2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1]) - matrix[:, 2:]
    seen = np.abs(np.linalg.solve(matrix[:, :2], points)) < 1
    return float(seen.all(axis=0).mean())


def random_colours(rng: np.random.Generator, count: int, strength: float = 0.2) -> tuple[Tensor, Tensor]:
    """Gain and offset, each (count, 1, 3, 1, 1), of random changes of brightness, contrast and colour."""
    gain = rng.uniform(1 - strength, 1 + strength, (count, 1)) * rng.uniform(
        1 - strength / 2, 1 + strength / 2, (count, 3)
    )
    offset = rng.uniform(-strength / 2, strength / 2, (count, 1)) + 0.5 * (1 - gain)
    shape = (count, 1, 3, 1, 1)
    return torch.from_numpy(gain.astype(np.float32)).view(shape), torch.from_numpy(
        offset.astype(np.float32)
    ).view(shape)
