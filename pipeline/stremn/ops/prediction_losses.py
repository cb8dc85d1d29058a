"""Losses of video prediction (STReMN Sec. 4.2, "Training").

Letters: B clips, T frames, C channels, H W pixels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

SPACINGS = (1, 2, 4, 8, 16)


def shrinkage(residual: Tensor, *, speed: float = 10.0, centre: float = 0.2) -> Tensor:
    """Shrinkage loss of residuals, l² / (1 + exp(a (c − l))), elementwise.

    Lu et al., "Deep Regression Tracking with Shrinkage Loss", ECCV 2018, without its weighting by
    exp(target): easy (small) residuals are damped, hard ones keep their square.

    Args:
        residual: l ≥ 0, any shape; for frames in [0, 1] residuals lie in [0, 1].
        speed: a. STReMN gives no constants; 10 and 0.2 are those of the source.
        centre: c, where the damping is one half.
    """
    return residual.square() * torch.sigmoid(speed * (residual - centre))


def shrinkage_l1_l2(
    predicted: Tensor, truth: Tensor, *, speed: float = 10.0, centre: float = 0.2
) -> tuple[Tensor, Tensor]:
    """Mean shrinkage loss of the absolute and of the squared residuals ("shrinkage loss on L1 and L2").

    Args:
        predicted, truth: one shape, in [0, 1].

    Returns:
        two scalars ≥ 0: shrinkage of |d| and of d².
    """
    difference = predicted - truth
    return (
        shrinkage(difference.abs(), speed=speed, centre=centre).mean(),
        shrinkage(difference.square(), speed=speed, centre=centre).mean(),
    )


def normalised_differences(frames: Tensor, spacing: int, epsilon: float = 1e-3) -> Tensor:
    """DeMoN's g_h: differences at a spacing, divided by the sum of the magnitudes.

    g_h[f](i, j) = ((f(i+h, j) − f(i, j)) / (|f(i+h, j)| + |f(i, j)| + ε), the same along j).

    Args:
        frames: (…, H, W).
        spacing: h in pixels, smaller than H and W.

    Returns:
        (…, H − h, W − h, 2): where both neighbours lie inside; rows first, then columns.
    """
    here = frames[..., :-spacing, :-spacing]
    below, right = frames[..., spacing:, :-spacing], frames[..., :-spacing, spacing:]
    steps = [(there - here) / (there.abs() + here.abs() + epsilon) for there in (below, right)]
    return torch.stack(steps, -1)


def scale_invariant_gradient(
    predicted: Tensor, truth: Tensor, *, spacings: Sequence[int] = SPACINGS, epsilon: float = 1e-3
) -> Tensor:
    """Scale-invariant gradient loss: Σ_h of the mean over pixels of ‖g_h[predicted] − g_h[truth]‖₂.

    Ummenhofer et al., "DeMoN: Depth and Motion Network for Learning Monocular Stereo", CVPR 2017. It asks
    for sharp edges at the right places, whatever their contrast. Differs: DeMoN sums over pixels, here it
    is the mean over frames and pixels, so that the weight does not depend on the frame size; ε keeps the
    denominators of g_h above 0, and the norm is √(‖·‖² + ε²) − ε, smooth at 0.

    Args:
        predicted, truth: (…, H, W), one shape.
        spacings: h in pixels; those that do not fit into the frame are left out.

    Returns:
        scalar ≥ 0.
    """
    total = predicted.new_zeros(())
    for spacing in spacings:
        if spacing >= min(predicted.shape[-2:]):
            continue
        difference = normalised_differences(predicted, spacing, epsilon) - normalised_differences(
            truth, spacing, epsilon
        )
        norm = (difference.square().sum(-1) + epsilon**2).sqrt() - epsilon
        total = total + norm.mean()
    return total
