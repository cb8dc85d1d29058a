"""Validation of a predictor while it trains.

Letters: B clips, T frames, C channels, H W pixels.
"""

import numpy as np
import torch
from skimage.metrics import structural_similarity
from torch import Tensor, nn

from stremn.memory import Policy
from stremn.models.prediction import as_predictor
from stremn.tasks.prediction import rollout


@torch.no_grad()
def validation_ssim(
    model: nn.Module, windows_BTCHW: Tensor, *, observed: int, policy: Policy, device: str
) -> dict[str, float]:
    """Mean SSIM (range 1) of free-running predictions of all frames after the observed ones."""
    ahead = windows_BTCHW.shape[1] - observed
    predicted = rollout(as_predictor(model), windows_BTCHW.to(device), observed, ahead, policy).cpu().numpy()
    truth = windows_BTCHW[:, observed:].numpy()
    pairs = zip(predicted.reshape(-1, *truth.shape[-2:]), truth.reshape(-1, *truth.shape[-2:]), strict=True)
    return {"SSIM": float(np.mean([structural_similarity(a, b, data_range=1.0) for a, b in pairs]))}
