"""Random affine views and colours, drawn by NumPy generators and applied by torch to many frames at once.

N images, H W their pixels, S the side of the view. An affine map is a matrix (N, 2, 3) in the convention of
``torch.nn.functional.affine_grid``: it takes output to input positions, both in [-1, 1].
"""

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
    """Affine maps (count, 2, 3): rotation and shear within ± radians, zoom (above 1 enlarges), shift within ±.

    Zoom is drawn evenly on a logarithmic scale; shift is in half image sides.
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
    return torch.cat([inner[..., :2] @ outer[..., :2], inner[..., :2] @ outer[..., 2:] + inner[..., 2:]], dim=-1)


def mirrored(theta: Tensor, flip: Tensor) -> Tensor:
    """The maps (N, 2, 3) with the output flipped left to right where ``flip`` (N,) says so."""
    sign = torch.ones(len(theta), 1, 3)
    sign[:, 0, 0] = torch.where(flip, -1.0, 1.0)
    return theta * sign


def view_images(images: Tensor, theta: Tensor, size: int, padding: str = "reflection") -> Tensor:
    """Bilinear view (N, C, S, S) of float images (N, C, H, W) under maps theta (N, 2, 3)."""
    grid = F.affine_grid(theta, [len(images), 1, size, size], align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode=padding, align_corners=False)


def view_masks(masks: Tensor, theta: Tensor, size: int) -> Tensor:
    """Nearest view int64 (N, S, S) of ids (N, H, W); 0 outside."""
    grid = F.affine_grid(theta, [len(masks), 1, size, size], align_corners=False)
    seen = F.grid_sample(masks[:, None].float(), grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return seen[:, 0].round().long()


def random_colour(rng: np.random.Generator, strength: float = 0.2) -> tuple[Tensor, Tensor]:
    """Gain (3, 1, 1) and offset (3, 1, 1) of a random change of brightness, contrast and colour."""
    gain = rng.uniform(1 - strength, 1 + strength) * rng.uniform(1 - strength / 2, 1 + strength / 2, 3)
    offset = rng.uniform(-strength / 2, strength / 2) + 0.5 * (1 - gain)
    return tuple(torch.from_numpy(v.astype(np.float32)).view(3, 1, 1) for v in (gain, offset))  # type: ignore[return-value]
