"""Image encoders: feature maps at three strides, from timm or our tiny one.

Letters: B images, H W pixels, C channels.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stremn.compat import ensure_torchvision
from stremn.errors import InputError


def group_norm(channels: int) -> nn.GroupNorm:
    """GroupNorm with groups of 8 channels (fewer where the width does not divide)."""
    return nn.GroupNorm(next(g for g in range(max(1, channels // 8), 0, -1) if channels % g == 0), channels)


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with GroupNorm and a shortcut; the first may have a stride."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False),
            group_norm(channels_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False),
            group_norm(channels_out),
        )
        same = stride == 1 and channels_in == channels_out
        self.shortcut = nn.Identity() if same else nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


class TinyBackbone(nn.Module):
    """A small encoder of our own for CPUs: strides 2, 4, 8 with ``width`` × (1, 2, 4) channels."""

    def __init__(self, channels_in: int = 3, width: int = 24) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels_in, width, 3, 2, 1, bias=False), group_norm(width), nn.ReLU(inplace=True)
        )
        self.stages = nn.ModuleList(
            [
                ResidualBlock(width, width),
                ResidualBlock(width, 2 * width, 2),
                nn.Sequential(ResidualBlock(2 * width, 4 * width, 2), ResidualBlock(4 * width, 4 * width)),
            ]
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


@dataclass(frozen=True)
class BackboneEntry:
    """A backbone by name: timm's name (None: ours), its keyword arguments, strides and channels of its maps."""

    timm_name: str | None
    options: dict[str, Any]
    strides: tuple[int, int, int]
    channels: tuple[int, int, int]


BACKBONES: dict[str, BackboneEntry] = {
    "tiny": BackboneEntry(None, {"width": 24}, (2, 4, 8), (24, 48, 96)),
    "small": BackboneEntry(None, {"width": 40}, (2, 4, 8), (40, 80, 160)),
    "resnet18": BackboneEntry("resnet18", {"norm_layer": "groupnorm"}, (4, 8, 16), (64, 128, 256)),
    "resnet50_gn": BackboneEntry("resnet50_gn", {}, (4, 8, 16), (256, 512, 1024)),
}


def make_backbone(name: str, *, channels_in: int = 3, pretrained: bool = False) -> nn.Module:
    """An encoder from images (B, ``channels_in``, H, W) to a list of three maps, finest first.

    ``pretrained`` loads timm's ImageNet weights (extra input channels start from their mean, as timm does).

    Raises:
        InputError: unknown name, no pretrained weights for it, or its weights cannot be had.
    """
    if name not in BACKBONES:
        raise InputError(f"expected a backbone of {', '.join(BACKBONES)}, found {name!r}")
    entry = BACKBONES[name]
    if entry.timm_name is None:
        if pretrained:
            raise InputError(f"backbone {name!r} has no pretrained weights; set pretrained: false")
        return TinyBackbone(channels_in, int(str(entry.options["width"])))
    ensure_torchvision()
    import timm

    try:
        return timm.create_model(
            entry.timm_name,
            pretrained=pretrained,
            features_only=True,
            out_indices=(1, 2, 3),
            in_chans=channels_in,
            **entry.options,
        )
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise
        reason = str(error).splitlines()[0]
        raise InputError(
            f"expected ImageNet weights of {entry.timm_name} in timm's cache or online, found none ({reason}); "
            "fetch them on a machine with a network or set pretrained: false"
        ) from error


def copy_shared_weights(source: nn.Module, target: nn.Module) -> None:
    """Start ``target`` from ``source``: equal names are copied, extra input channels start at zero."""
    own = target.state_dict()
    for name, weight in source.state_dict().items():
        if own[name].shape == weight.shape:
            own[name].copy_(weight)
        else:
            own[name].zero_()
            own[name][:, : weight.shape[1]].copy_(weight)
