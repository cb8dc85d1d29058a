"""Frames and masks at the size and with the border that a network computes with.

Letters: H W pixels, h w pixels of the working size.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from stremn.models.vos import VOSNetwork

Pad = tuple[int, int, int, int]  # left, right, top, bottom


def scaled_size(height: int, width: int, side: int | None) -> tuple[int, int]:
    """Height and width with a shorter side of ``side`` pixels; None: as they are."""
    scale = 1.0 if side is None else side / min(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def to_working_size(maps: Tensor, size: tuple[int, ...], *, masks: bool = False) -> Tensor:
    """Images (…, C, H, W) in [0, 1] at another size (h, w): by bilinear interpolation without aliasing.

    ``masks``: by the share of each pixel that a mask covers. Given masks come to the network this way
    everywhere: in training, evaluation, streams and the explorer.
    """
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    if masks:
        return F.interpolate(maps, size=size, mode="area")
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False, antialias=True)


def padding(height: int, width: int, stride: int) -> Pad:
    """Symmetric zero padding (left, right, top, bottom) up to multiples of ``stride``."""
    extra_h, extra_w = -height % stride, -width % stride
    return (extra_w // 2, extra_w - extra_w // 2, extra_h // 2, extra_h - extra_h // 2)


def padded(network: VOSNetwork, frames: Tensor, pad: Pad) -> Tensor:
    """RGB frames (…, 3, H, W) in [0, 1] with a black border, or the mean's where ``pads_normalised`` (STCN)."""
    if not network.pads_normalised:
        return F.pad(frames, pad)
    inside = F.pad(torch.ones_like(frames[..., :1, :, :]), pad)
    return torch.where(inside > 0, F.pad(frames, pad), network.mean_colour.to(frames))


def cropped(maps: Tensor, pad: Pad) -> Tensor:
    """Maps (…, H, W) without their padding."""
    left, right, top, bottom = pad
    return maps[..., top : maps.shape[-2] - bottom, left : maps.shape[-1] - right]
