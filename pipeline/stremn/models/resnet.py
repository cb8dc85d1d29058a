"""ResNet trunks with BatchNorm up to stride 16, named as in torchvision, so that released weights fit.

He et al., "Deep residual learning for image recognition". The stride of a bottleneck is in its 3×3
convolution. Letters: B images, H W pixels, C channels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stremn.compat import ensure_torchvision
from stremn.errors import InputError
from stremn.models.backbones import BACKBONES, make_backbone


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut (ResNet-18)."""

    expansion = 1

    def __init__(self, channels_in: int, width: int, stride: int, bias: bool = False) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels_in, width, 3, stride, 1, bias=bias), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, 1, 1, bias=bias), nn.BatchNorm2d(width)
        self.downsample = shortcut(channels_in, width, stride, bias)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(out + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions and a shortcut (ResNet-50)."""

    expansion = 4

    def __init__(self, channels_in: int, width: int, stride: int, bias: bool = False) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels_in, width, 1, bias=bias), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=bias), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, 4 * width, 1, bias=bias), nn.BatchNorm2d(4 * width)
        self.downsample = shortcut(channels_in, 4 * width, stride, bias)

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu(self.bn1(self.conv1(x)))
        out = self.bn3(self.conv3(torch.relu(self.bn2(self.conv2(out)))))
        return torch.relu(out + (x if self.downsample is None else self.downsample(x)))


def shortcut(channels_in: int, channels_out: int, stride: int, bias: bool = False) -> nn.Sequential | None:
    """A strided 1×1 convolution where the shape changes, else None."""
    if stride == 1 and channels_in == channels_out:
        return None
    conv = nn.Conv2d(channels_in, channels_out, 1, stride, bias=bias)
    return nn.Sequential(conv, nn.BatchNorm2d(channels_out))


class SummedConv2d(nn.Conv2d):
    """A convolution whose groups of input channels are convolved apart and added up.

    The same as one convolution up to rounding; STM's release has one layer for the image and one for each mask.
    """

    groups_in: Sequence[int] = (3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        parts = zip(x.split(self.groups_in, 1), self.weight.split(self.groups_in, 1), strict=True)
        maps = [self._conv_forward(image.contiguous(), kernel.contiguous(), None) for image, kernel in parts]
        return sum(maps[1:], maps[0])


class ResNetTrunk(nn.Module):
    """``conv1``, ``bn1``, max-pool and ``layer1`` to ``layer3``: maps at strides 4, 8 and 16, finest first.

    ``bias``: convolutions with a bias, as in STCN's value encoder; torchvision's ResNets have none.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        depths: Sequence[int],
        channels_in: int = 3,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.conv1: nn.Conv2d = nn.Conv2d(channels_in, 64, 7, 2, 3, bias=bias)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        layers, channels = [], 64
        for stage, depth in enumerate(depths):
            blocks = []
            for i in range(depth):
                blocks.append(block(channels, 64 * 2**stage, 2 if stage and not i else 1, bias))
                channels = 64 * 2**stage * block.expansion
            layers.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3 = layers
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.layer1(self.maxpool(torch.relu(self.bn1(self.conv1(x)))))
        finer = self.layer2(x)
        return [x, finer, self.layer3(finer)]


@dataclass(frozen=True)
class TrunkEntry:
    """A trunk by name: block, blocks of each layer, strides and channels of its maps."""

    block: type[BasicBlock] | type[Bottleneck] | None
    depths: Sequence[int]
    strides: Sequence[int]
    channels: Sequence[int]


TRUNKS: dict[str, TrunkEntry] = {
    "resnet50": TrunkEntry(Bottleneck, (3, 4, 6), (4, 8, 16), (256, 512, 1024)),
    "resnet18": TrunkEntry(BasicBlock, (2, 2, 2), (4, 8, 16), (64, 128, 256)),
}
"""Trunks with BatchNorm. The encoders of ``models.backbones`` can be named too."""


def trunk_entry(name: str) -> TrunkEntry:
    """Strides and channels of a trunk.

    Raises:
        InputError: unknown name.
    """
    if name in TRUNKS:
        return TRUNKS[name]
    if name not in BACKBONES:
        known = ", ".join(dict.fromkeys([*TRUNKS, *BACKBONES]))
        raise InputError(f"expected a backbone of {known}, found {name!r}")
    return TrunkEntry(None, (), BACKBONES[name].strides, BACKBONES[name].channels)


def make_trunk(name: str, *, channels_in: int = 3, pretrained: bool = False, bias: bool = False) -> nn.Module:
    """An encoder from images (B, ``channels_in``, H, W) to a list of three maps, finest first.

    ``pretrained`` loads ImageNet weights through timm; input channels beyond three stay random, and biases
    of convolutions, which ``bias`` asks for in a BatchNorm ResNet, stay zero.

    Raises:
        InputError: unknown name, or its weights cannot be had.
    """
    entry = trunk_entry(name)
    if entry.block is None:
        return make_backbone(name, channels_in=channels_in, pretrained=pretrained)
    trunk = ResNetTrunk(entry.block, entry.depths, channels_in, bias)
    if pretrained:
        start_from(trunk, imagenet_weights(name))
    return trunk


@torch.no_grad()
def start_from(trunk: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy weights of equal names; input channels that ``weights`` lacks stay random (STM Sec. 3.1)."""
    for name, own in trunk.state_dict().items():
        if name not in weights:  # the bias of a convolution: ImageNet's ResNets have none
            continue
        given = weights[name]
        (own if own.shape == given.shape else own[:, : given.shape[1]]).copy_(given)


def imagenet_weights(name: str) -> dict[str, Tensor]:
    """timm's ImageNet weights of a ResNet, in torchvision's names."""
    ensure_torchvision()
    import timm

    try:
        return timm.create_model(name, pretrained=True).state_dict()
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"expected ImageNet weights of {name} in timm's cache or online, found none ({reason}); "
            "fetch them on a machine with a network or set pretrained: false"
        ) from error


def sum_first_convolution(trunk: nn.Module) -> None:
    """Let a trunk on image and two masks convolve the three apart, with the weights it has."""
    if isinstance(trunk, ResNetTrunk):
        first = SummedConv2d(5, 64, 7, 2, 3, bias=False)
        first.load_state_dict(trunk.conv1.state_dict())
        trunk.conv1 = first


def memory_format(name: str) -> torch.memory_format:
    """How a trunk's maps lie in memory: BatchNorm ResNets as in the releases, so that they round alike."""
    return torch.contiguous_format if name in TRUNKS else torch.channels_last


def freeze_batch_norm(network: nn.Module) -> None:
    """Put every BatchNorm into evaluation mode: stored statistics are used and stay as they are."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


class PlainBlock(nn.Module):
    """conv2(relu(conv1(relu(x)))) + x without normalisation; a 3×3 shortcut where the width changes.

    The residual block of STM's and STCN's decoders ("pre-activation", STM Sec. 3.4).
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        same = channels_in == channels_out
        self.downsample = None if same else nn.Conv2d(channels_in, channels_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv2(torch.relu(self.conv1(torch.relu(x))))
        return out + (x if self.downsample is None else self.downsample(x))
