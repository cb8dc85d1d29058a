"""Image encoders: feature maps at three strides, from timm, the package registry's weights, or our tiny one.

Letters: B images, H W pixels, C channels.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from stremn.compat import ensure_torchvision
from stremn.errors import InputError
from stremn.models import imagenet

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of red, green, blue
IMAGENET_STD = (0.229, 0.224, 0.225)


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
    """A backbone by name; what makes it is timm, a function of ours, or (neither given) ``TinyBackbone``.

    Attributes:
        strides: of its three maps, finest first.
        channels: of its three maps.
        timm_name: its name in timm.
        options: arguments of timm or ``TinyBackbone``.
        make: makes it from the number of input channels.
        weights: ImageNet weights of the package registry, for ``make``.
        mean, std: the normalisation of RGB images in [0, 1] that it was trained with.
    """

    strides: tuple[int, int, int]
    channels: tuple[int, int, int]
    timm_name: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    make: Callable[[int], nn.Module] | None = None
    weights: imagenet.Weights | None = None
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD


BACKBONES: dict[str, BackboneEntry] = {
    "tiny": BackboneEntry((2, 4, 8), (24, 48, 96), options={"width": 24}),
    "small": BackboneEntry((2, 4, 8), (40, 80, 160), options={"width": 40}),
    "resnet18": BackboneEntry((4, 8, 16), (64, 128, 256), "resnet18", {"norm_layer": "groupnorm"}),
    "resnet50_gn": BackboneEntry((4, 8, 16), (256, 512, 1024), "resnet50_gn"),
    "alexnet": BackboneEntry((4, 8, 16), (64, 192, 256), make=imagenet.alexnet, weights=imagenet.ALEXNET),
    "vgg16": BackboneEntry((4, 8, 16), (256, 512, 512), make=imagenet.vgg16, weights=imagenet.VGG16),
    "squeezenet1_1": BackboneEntry(
        (4, 8, 16),
        (128, 256, 512),
        make=imagenet.squeezenet1_1,
        weights=imagenet.SQUEEZENET,
        mean=imagenet.CAFFE_MEAN,
        std=imagenet.CAFFE_STD,
    ),
}


def normalisation(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of RGB images in [0, 1] that a backbone, or a ResNet trunk, was trained with."""
    entry = BACKBONES.get(name)
    return (entry.mean, entry.std) if entry else (IMAGENET_MEAN, IMAGENET_STD)


def make_backbone(name: str, *, channels_in: int = 3, pretrained: bool = False) -> nn.Module:
    """An encoder from images (B, ``channels_in``, H, W) to a list of three maps, finest first.

    ``pretrained`` loads ImageNet weights, timm's or the package registry's. Extra input channels start from
    their mean with timm's, and at random with the registry's.

    Raises:
        InputError: unknown name, no pretrained weights for it, or its weights cannot be had.
    """
    if name not in BACKBONES:
        raise InputError(f"expected a backbone of {', '.join(BACKBONES)}, found {name!r}")
    entry = BACKBONES[name]
    if entry.make is not None:
        backbone = entry.make(channels_in)
        if pretrained and entry.weights is not None:
            imagenet.load_imagenet(backbone, entry.weights)
        return backbone
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
