"""AlexNet, VGG-16 and SqueezeNet 1.1 up to stride 16, with the ImageNet weights of the package registry.

The weights lie where ``stremn data get`` puts them, as safetensors. Letters: B images, H W pixels, C channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from stremn import paths
from stremn.errors import InputError


class Stages(nn.Module):
    """Stages one after the other; the maps after each of the last three, finest first."""

    def __init__(self, *stages: Sequence[nn.Module]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(nn.Sequential(*stage) for stage in stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps[-3:]


class Fire(nn.Module):
    """SqueezeNet's module (Iandola et al., 2016): a 1×1 convolution, then 1×1 and 3×3 ones side by side."""

    def __init__(self, channels_in: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels_in, squeeze, 1)
        self.expand_1, self.expand_3 = nn.Conv2d(squeeze, expand, 1), nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.squeeze(x))
        return torch.relu(torch.cat([self.expand_1(x), self.expand_3(x)], 1))


def _convolutions(
    channels: Sequence[int], kernel: int = 3, stride: int = 1, pad: int | None = None
) -> list[nn.Module]:
    """Convolutions of one kernel size, each with a ReLU; ``channels`` begins with those that come in."""
    layers: list[nn.Module] = []
    for a, b in pairwise(channels):
        layers += [
            nn.Conv2d(a, b, kernel, stride, kernel // 2 if pad is None else pad),
            nn.ReLU(inplace=True),
        ]
    return layers


def _halved(kernel: int) -> nn.MaxPool2d:
    """Half the size, exactly: the original 3×3 pooling has no border and would lose a row."""
    return nn.MaxPool2d(kernel, 2, (kernel - 1) // 2)


def alexnet(channels_in: int = 3) -> Stages:
    """torchvision's AlexNet, padded so that sides of H and W come out at exactly 1/4, 1/8 and 1/16."""
    return Stages(
        _convolutions((channels_in, 64), 11, stride=4, pad=4),
        [_halved(3), *_convolutions((64, 192), 5)],
        [_halved(3), *_convolutions((192, 384, 256, 256))],
    )


def vgg16(channels_in: int = 3) -> Stages:
    """VGG-16's convolutions without the last pooling."""
    return Stages(
        _convolutions((channels_in, 64, 64)),
        [_halved(2), *_convolutions((64, 128, 128))],
        [_halved(2), *_convolutions((128, 256, 256, 256))],
        [_halved(2), *_convolutions((256, 512, 512, 512))],
        [_halved(2), *_convolutions((512, 512, 512, 512))],
    )


def squeezenet1_1(channels_in: int = 3) -> Stages:
    """SqueezeNet 1.1 up to ``fire9``; it has no pooling after stride 16."""
    return Stages(
        [*_convolutions((channels_in, 64), stride=2), _halved(3), Fire(64, 16, 64), Fire(128, 16, 64)],
        [_halved(3), Fire(128, 32, 128), Fire(256, 32, 128)],
        [_halved(3), Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256)],
    )


@dataclass(frozen=True)
class Weights:
    """Where a backbone's ImageNet weights are, and how the release wants its images.

    Attributes:
        entry: of the catalogue: what ``stremn data get`` is told.
        file: below ``data/raw/<entry>``.
        layers: the convolutions' names in the file, in the order of the network.
        caffe: trained on BGR images of 0–255 with the mean taken off, not on scaled RGB. Then the first
            kernels are turned to RGB, and the biases divided by ``CAFFE_SCALE`` as the images are: every
            map of a network of convolutions, ReLU and max-pooling is the release's divided by that number.
    """

    entry: str
    file: str
    layers: Sequence[str]
    caffe: bool = False

    def path(self) -> Path:
        """Where the file lies, whether or not it is there."""
        return paths.raw(paths.find_root()) / self.entry / self.file


FIRE_LAYERS = ("squeeze1x1", "expand1x1", "expand3x3")
ALEXNET = Weights("lpips-alexnet", "alexnet.safetensors", [f"AlexNet_0.Conv_{i}" for i in range(5)])
VGG16 = Weights("vgg16", "vgg16.safetensors", [f"VGG16_0.Conv_{i}" for i in range(13)])
SQUEEZENET = Weights(
    "squeezenet",
    "squeezenet1_1.safetensors",
    ["conv1", *(f"fire{i}/{layer}" for i in range(2, 10) for layer in FIRE_LAYERS)],
    caffe=True,
)
CAFFE_MEAN = (124 / 255, 117 / 255, 104 / 255)  # of red, green, blue
CAFFE_SCALE = 58.0  # about the deviation of ImageNet's pixels in 0–255
CAFFE_STD = (CAFFE_SCALE / 255,) * 3


@torch.no_grad()
def load_imagenet(backbone: nn.Module, weights: Weights) -> None:
    """Load the ImageNet weights; input channels beyond three keep the values that they have.

    Raises:
        InputError: they are not there, or do not fit.
    """
    path = weights.path()
    if not path.is_file():
        raise InputError(
            f"expected ImageNet weights in {path}, found none: `stremn data get {weights.entry}` gets them, or "
            "set pretrained: false"
        )
    stored = load_file(path)
    layers = [layer for layer in backbone.modules() if isinstance(layer, nn.Conv2d)]
    for at, (layer, name) in enumerate(zip(layers, weights.layers, strict=True)):
        if not {f"{name}.weight", f"{name}.bias"} <= stored.keys():
            raise InputError(f"expected a layer {name} in {path}, found none: remove it and get it anew")
        kernel, bias = stored[f"{name}.weight"], stored[f"{name}.bias"]
        if weights.caffe:
            kernel, bias = kernel.flip(1) if at == 0 else kernel, bias / CAFFE_SCALE
        assert layer.bias is not None
        layer.weight[:, : kernel.shape[1]].copy_(kernel)
        layer.bias.copy_(bias)
