"""LPIPS (Zhang et al., CVPR 2018) with the AlexNet backbone, or a reason why there is none.

The linear heads ship with the lpips package; the backbone's ImageNet weights do not, and nothing is
downloaded here. A file counts only if its SHA-256 starts as torchvision's file name says, so no number
ever comes from other or random weights.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from stremn.compat import ensure_torchvision
from stremn.errors import InputError
from stremn.fingerprint import digests

WEIGHTS_NAME = "alexnet-owt-7be5be79.pth"
WEIGHTS_SHA256 = "7be5be79"  # the first digits, as torchvision gives them in the name

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
    weights: Path | str | None = None, from_environment: str | None = None, device: str = "cpu"
) -> tuple[Lpips | None, str]:
    """LPIPS with AlexNet, if its weights are at hand.

    Args:
        weights: file of torchvision's AlexNet weights (``alexnet-owt-7be5be79.pth``), the first choice.
        from_environment: the same, from an environment variable that the caller has read.
        device: where the network runs.

    The last place looked at is torch hub's cache.

    Returns:
        (network, the file's path), or (None, why there is none, in one line).
    """
    hub = Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS_NAME
    tried = []
    for place in dict.fromkeys(Path(p) for p in (weights, from_environment, hub) if p):
        problem = _problem(place)
        if problem is None:
            return Lpips(_network(place), device), str(place)
        tried.append(f"{shortened(place)}: {problem}")
    return None, f"no AlexNet weights ({WEIGHTS_NAME}): " + "; ".join(tried)


def shortened(path: Path) -> str:
    """A path with ``~`` in place of the user's home folder: reasons are saved with results."""
    try:
        return str(Path("~") / path.relative_to(Path.home()))
    except (ValueError, RuntimeError):  # elsewhere, or there is no home
        return str(path)


def _problem(file: Path) -> str | None:
    """Why ``file`` cannot be used, None if it can."""
    if not file.is_file():
        return "not found"
    try:
        found = digests(file)["sha256"]
    except OSError as error:
        return f"unreadable ({error.strerror})"
    if not found.startswith(WEIGHTS_SHA256):
        return f"SHA-256 starts with {found[: len(WEIGHTS_SHA256)]}, expected {WEIGHTS_SHA256}"
    return None


def _network(file: Path) -> nn.Module:
    """LPIPS built without a download, its backbone loaded from ``file``, every tensor of it."""
    ensure_torchvision()
    import lpips

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*weight", category=UserWarning)
        network: nn.Module = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    stored = torch.load(file, map_location="cpu", weights_only=True)
    features = {k.removeprefix("features."): v for k, v in stored.items() if k.startswith("features.")}
    backbone = network.get_submodule("net")
    names = {key: key.split(".", 1)[1] for key in backbone.state_dict()}  # slice2.3.weight → 3.weight
    if set(features) != set(names.values()):
        raise InputError(f"expected AlexNet's features in {file}, found {sorted(features)}")
    backbone.load_state_dict({key: features[name] for key, name in names.items()}, strict=True)
    return network
