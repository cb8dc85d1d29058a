"""Soft aggregation of independent object probabilities (STM Sec. 3.4)."""

import torch
from torch import Tensor

EPSILON = 1e-7


def aggregation_logits(probabilities_BOHW: Tensor) -> Tensor:
    """Log odds of the background and of every object; their softmax is the soft aggregation.

    Args:
        probabilities_BOHW: foreground probability of each object, (B, O, H, W) in [0, 1]. An object
            that is absent has probability 0 and takes at most 1e-7 of the odds.

    Returns:
        (B, O + 1, H, W), background first: log p/(1 − p), where the background's probability is
        the product of (1 − p) over the objects and all are clamped to [1e-7, 1 − 1e-7].
    """
    background = (1 - probabilities_BOHW).prod(1, keepdim=True)
    clamped = torch.cat([background, probabilities_BOHW], 1).clamp(EPSILON, 1 - EPSILON)
    return clamped.log() - (-clamped).log1p()
