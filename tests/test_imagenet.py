"""Backbones with ImageNet weights, against torchvision's layers, Caffe's convention written out, and pictures."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from skimage import data
from skimage.transform import resize
from torch import Tensor, nn

from stremn import paths
from stremn.compat import ensure_torchvision
from stremn.errors import InputError
from stremn.models.backbones import BACKBONES, make_backbone, normalisation
from stremn.models.imagenet import SQUEEZENET, Weights
from stremn.models.stcn import STCN
from stremn.models.stm import STM
from stremn.models.stremn import STReMN

NAMES = ["alexnet", "vgg16", "squeezenet1_1"]
ESPRESSO, EGYPTIAN_CAT = 967, 285
COFFEE, CHELSEA = data.coffee, data.chelsea


def weights_of(name: str) -> Weights:
    weights = BACKBONES[name].weights
    assert weights is not None
    return weights


def convolutions(network: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]


def scale(name: str) -> list[Tensor]:
    return [torch.tensor(values)[:, None, None] for values in normalisation(name)]


def torchvision_layers(name: str) -> nn.Sequential:
    """torchvision's convolutions with our borders, and the places of the three maps."""
    ensure_torchvision()
    import torchvision.models as models
    from torchvision.models.vgg import cfgs, make_layers

    if name == "vgg16":
        return make_layers(cfgs["D"])
    features: nn.Sequential = getattr(models, name)(weights=None).features
    for layer in features:
        if isinstance(layer, nn.MaxPool2d):
            layer.padding, layer.ceil_mode = 1, False
    first = features[0]
    assert isinstance(first, nn.Conv2d)
    first.padding = (4, 4) if name == "alexnet" else (1, 1)
    return features


ENDS = {"alexnet": (2, 5, 12), "vgg16": (16, 23, 30), "squeezenet1_1": (5, 8, 13)}


@pytest.mark.parametrize("name", NAMES)
def test_maps_are_those_of_torchvisions_layers(name: str) -> None:
    torch.manual_seed(0)
    ours, theirs = make_backbone(name), torchvision_layers(name)
    for mine, given in zip(convolutions(ours), convolutions(theirs), strict=True):
        mine.load_state_dict(given.state_dict())
    x = torch.randn(1, 3, 48, 64)
    with torch.no_grad():
        maps = ours(x)
        for end, found, stride in zip(ENDS[name], maps, BACKBONES[name].strides, strict=True):
            assert found.shape[-2:] == (48 // stride, 64 // stride)
            assert torch.allclose(found, theirs[:end](x), atol=1e-6)


def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / paths.MARKER).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def random_file(name: str) -> dict[str, Tensor]:
    """A file of weights as the registry's is, at random."""
    weights, stored = weights_of(name), {}
    for layer, place in zip(convolutions(make_backbone(name)), weights.layers, strict=True):
        assert layer.bias is not None
        stored[f"{place}.weight"] = nn.init.kaiming_normal_(torch.empty_like(layer.weight))
        stored[f"{place}.bias"] = torch.randn_like(layer.bias) * 0.1
    weights.path().parent.mkdir(parents=True)
    save_file(stored, weights.path())
    return stored


def caffe_squeezenet(stored: dict[str, Tensor], bgr_0_255: Tensor) -> list[Tensor]:
    """SqueezeNet 1.1 as Caffe's users call it: BGR, 0-255, the means taken off; maps at strides 4, 8, 16."""

    def convolve(x: Tensor, name: str, **how: int) -> Tensor:
        return F.conv2d(x, stored[f"{name}.weight"], stored[f"{name}.bias"], **how).relu()

    x = convolve(bgr_0_255 - torch.tensor([104.0, 117.0, 124.0])[:, None, None], "conv1", stride=2, padding=1)
    maps = []
    for fires in ((2, 3), (4, 5), (6, 7, 8, 9)):
        x = F.max_pool2d(x, 3, 2, 1)
        for i in fires:
            x = convolve(x, f"fire{i}/squeeze1x1")
            wide = [
                convolve(x, f"fire{i}/expand1x1"),
                convolve(x, f"fire{i}/expand3x3", padding=1),
            ]
            x = torch.cat(wide, 1)
        maps.append(x)
    return maps


def test_squeezenet_gets_what_caffe_gave_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, monkeypatch)
    torch.manual_seed(1)
    stored = random_file("squeezenet1_1")
    rgb = torch.rand(1, 3, 32, 48)
    mean, std = scale("squeezenet1_1")
    with torch.no_grad():
        expected = caffe_squeezenet(stored, 255 * rgb.flip(1))
        backbone = make_backbone("squeezenet1_1", pretrained=True)
        for found, true in zip(backbone((rgb - mean) / std), expected, strict=True):
            assert torch.allclose(58 * found, true, rtol=1e-4, atol=1e-3)
            assert true.std() > 1
        other_mean, other_std = scale("alexnet")
        for wrong in ((rgb.flip(1) - mean) / std, (rgb - other_mean) / other_std, rgb):
            assert not torch.allclose(58 * backbone(wrong)[0], expected[0], rtol=1e-2, atol=1e-1)


@pytest.mark.parametrize("make", [STReMN, STM])
def test_each_network_asks_its_backbone_for_the_normalisation(make: Callable[..., STReMN | STM]) -> None:
    torch.manual_seed(2)
    frames = torch.rand(1, 3, 32, 32)
    for name in ("squeezenet1_1", "alexnet"):
        network = make(backbone=name, value_dim=8, key_dim=4).eval()
        mean, std = scale(name)
        with torch.no_grad():
            expected = network.query_encoder((frames - mean) / std)[-1]
            assert torch.equal(network.encode_query(frames).feature, expected)


def test_encoders_of_one_network_want_one_scale() -> None:
    assert STCN("vgg16", "alexnet", value_dim=8, key_dim=4, decoder_dims=(8, 8, 8)).stride == 16
    with pytest.raises(InputError, match="one scale, found 'squeezenet1_1' and 'alexnet'"):
        STCN("squeezenet1_1", "alexnet")


def test_masks_beside_the_image_start_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, monkeypatch)
    stored = random_file("alexnet")
    torch.manual_seed(3)
    bare = convolutions(make_backbone("alexnet", channels_in=5))[0].weight
    torch.manual_seed(3)
    first = convolutions(make_backbone("alexnet", channels_in=5, pretrained=True))[0].weight
    assert torch.equal(first[:, :3], stored["AlexNet_0.Conv_0.weight"])
    assert torch.equal(first[:, 3:], bare[:, 3:])
    network = STReMN("alexnet", pretrained=True, value_dim=8, key_dim=4)
    first = convolutions(network.memory_encoder)[0].weight
    assert torch.equal(first[:, :3], stored["AlexNet_0.Conv_0.weight"]) and not first[:, 3:].any()


def test_weights_that_are_not_there_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, monkeypatch)
    with pytest.raises(InputError, match="`stremn data get squeezenet` gets them, or set pretrained: false"):
        make_backbone("squeezenet1_1", pretrained=True)
    stored = random_file("squeezenet1_1")
    save_file({k: v for k, v in stored.items() if "fire5" not in k}, SQUEEZENET.path())
    with pytest.raises(InputError, match="a layer fire5/squeeze1x1 in"):
        make_backbone("squeezenet1_1", pretrained=True)


# --- the real weights, where they are at hand


def classes(picture: np.ndarray, change: Callable[[Tensor], Tensor] = lambda x: x) -> Tensor:
    """Probabilities of ImageNet's classes from our backbone's last map and the file's own classifier."""
    stored = load_file(SQUEEZENET.path())
    small = resize(picture, (224, 224), anti_aliasing=True).astype(np.float32)
    mean, std = scale("squeezenet1_1")
    image = torch.from_numpy(small).permute(2, 0, 1)[None]
    with torch.no_grad():
        feature = make_backbone("squeezenet1_1", pretrained=True)(change((image - mean) / std))[-1]
        scores = F.conv2d(58 * feature, stored["conv10.weight"], stored["conv10.bias"]).relu()
    return scores.mean((2, 3))[0].softmax(0)


def test_squeezenet_knows_coffee_and_a_cat() -> None:
    if not SQUEEZENET.path().is_file():
        pytest.skip("needs SqueezeNet's weights: `stremn data get squeezenet`")
    assert int(classes(CHELSEA()).argmax()) == EGYPTIAN_CAT
    assert classes(COFFEE())[ESPRESSO] > 0.95
    assert classes(COFFEE(), lambda x: x.flip(1))[ESPRESSO] < 0.5  # the wrong order of channels
    assert classes(COFFEE(), lambda x: 58 / 255 * x)[ESPRESSO] < 0.5  # 0-1 for 0-255
