"""``stremn info``: where it would compute, with which versions, and which weights are found."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from stremn import paths
from stremn.errors import InputError

if TYPE_CHECKING:
    from stremn.models.imagenet import Weights

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")


def info() -> None:
    """Show the devices of this machine, the versions of the packages, and which weights are found."""
    from stremn.device import versions

    blocks = {"machine": [*_machine()], "versions": [*versions().items()], "weights": [*_weights()]}
    for title, rows in blocks.items():
        print(title)
        width = max(len(name) for name, _ in rows)
        for name, value in rows:
            print(f"  {name:<{width}}  {value}")


def _machine() -> Iterator[tuple[str, str]]:
    import torch

    from stremn.device import describe

    found = describe()
    yield "best device", str(found["device"])
    yield "available", ", ".join(found["available"])
    yield (
        "CUDA",
        f"PyTorch built for {torch.version.cuda}" if torch.version.cuda else "PyTorch built without it",
    )
    yield "CPU threads", str(found["threads"])


def _weights() -> Iterator[tuple[str, str]]:
    from stremn.models.backbones import BACKBONES

    yield "segmentation", _shipped("stremn")
    yield "prediction", _shipped("predictor")
    yield "LPIPS (AlexNet)", _lpips()
    for name, entry in BACKBONES.items():
        if entry.timm_name:
            yield f"ImageNet, {name}", imagenet_weights(entry.timm_name)
        if entry.weights:
            yield f"ImageNet, {name}", _registry(entry.weights)


def _shipped(name: str) -> str:
    from stremn.models.checkpoints import shipped_checkpoint

    try:
        path = shipped_checkpoint(name)
    except InputError:
        return "none comes with the package: give --checkpoint"
    return f"{path} ({path.stat().st_size / 1e6:.1f} MB)"


def _lpips() -> str:
    from stremn.evaluation.lpips import load_lpips
    from stremn.stages.evaluate_prediction import ALEXNET

    try:
        raw = paths.raw(paths.find_root())
    except InputError:  # not inside a project
        raw = None
    return load_lpips(os.environ.get(ALEXNET), raw)[1]


def _registry(weights: "Weights") -> str:
    try:
        if weights.path().is_file():
            return str(weights.path())
    except InputError:  # not inside a project
        pass
    return f"not in data/raw (`stremn data get {weights.entry}` gets them)"


def imagenet_weights(name: str) -> str:
    """Where a timm network's pretrained weights lie on this machine, or that they are not there.

    Nothing is downloaded.
    """
    import torch

    from stremn.compat import ensure_torchvision

    ensure_torchvision()
    from huggingface_hub import try_to_load_from_cache
    from timm.models import get_pretrained_cfg

    config = get_pretrained_cfg(name)
    places: list[object] = []
    if config is not None and config.hf_hub_id:
        places += [try_to_load_from_cache(config.hf_hub_id, file) for file in WEIGHT_FILES]
    if config is not None and config.url:
        places.append(str(Path(torch.hub.get_dir()) / "checkpoints" / Path(str(config.url)).name))
    found = [place for place in places if isinstance(place, str) and Path(place).is_file()]
    return found[0] if found else "not in timm's cache (downloaded by the profile paper, pretrained: true)"
