"""What the predictor is trained to minimise (STReMN Sec. 4.2, "Training"), and its validation score.

Letters: B clips, T frames, C channels, H W pixels.
"""

from dataclasses import replace

import numpy as np
import torch
from skimage.metrics import structural_similarity
from torch import Tensor, nn

from stremn.memory import Policy
from stremn.models.prediction import as_predictor
from stremn.ops.prediction_losses import scale_invariant_gradient, shrinkage_l1_l2
from stremn.settings import Settings
from stremn.tasks.prediction import default_policy, rollout


class LossWeights(Settings):
    """Weights of the terms of the prediction loss; the paper names the first three, all 1 here."""

    shrinkage_l1: float = 1.0
    """Of the shrinkage loss of absolute residuals."""
    shrinkage_l2: float = 1.0
    """Of the shrinkage loss of squared residuals."""
    gradient: float = 1.0
    """Of the scale-invariant gradient loss."""
    l1: float = 0.0
    """Of the mean absolute error. Differs: 0 in the paper."""
    l2: float = 0.0
    """Of the mean squared error. Differs: 0 in the paper."""


def prediction_loss(
    model: nn.Module,
    batch: Tensor,
    generator: torch.Generator,
    *,
    observed: int,
    policy: Policy | None = None,
    weights: LossWeights | None = None,
) -> dict[str, Tensor]:
    """The loss of a free-running prediction of all frames after the observed ones.

    Args:
        model: a system of ``models.registry.PREDICTORS``.
        batch: (B, T, C, H, W) in [0, 1], T > observed.
        generator: source of the Gumbel noise and of the number of slots.
        policy: by default learned with five slots; of no effect on a system without slots. The number of
            slots of this batch is drawn from 2 … ``policy.slots``, so that templates are evicted, and the
            update keys taught, in short clips too.
        weights: of the terms.

    Returns:
        ``loss`` and each term with a weight, unweighted.
    """
    policy, weights = policy or default_policy(), weights or LossWeights()
    if policy.slots is not None and policy.slots > 2:
        draw = torch.randint(2, policy.slots + 1, (), generator=generator, device=generator.device)
        policy = replace(policy, slots=int(draw))
    ahead = batch.shape[1] - observed
    predicted = rollout(as_predictor(model), batch, observed, ahead, policy, generator=generator, noise=True)
    terms = loss_terms(predicted, batch[:, observed:], weights)
    factors = weights.model_dump()
    total = torch.stack([factors[name] * value for name, value in terms.items()]).sum()
    return {"loss": total, **terms}


def loss_terms(predicted: Tensor, truth: Tensor, weights: LossWeights) -> dict[str, Tensor]:
    """The unweighted terms whose weight is not 0."""
    shrunk_l1, shrunk_l2 = shrinkage_l1_l2(predicted, truth)
    difference = predicted - truth
    terms = {
        "shrinkage_l1": shrunk_l1,
        "shrinkage_l2": shrunk_l2,
        "l1": difference.abs().mean(),
        "l2": difference.square().mean(),
    }
    if weights.gradient:
        terms["gradient"] = scale_invariant_gradient(predicted, truth)
    return {name: terms[name] for name, weight in weights if weight}


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
