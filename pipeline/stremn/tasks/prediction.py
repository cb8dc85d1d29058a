"""Video prediction: observed frames fill the memory, predicted frames are fed back (STReMN Sec. 4.2).

Any system of ``models.registry.PREDICTORS`` runs here: what it remembers is its own matter
(``models.predictor_memory`` for STReMN's slots, ``models.recurrent`` for recurrent states).

Letters: B clips, T frames, C channels, H W pixels.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stremn.errors import InputError
from stremn.memory import Policy, Trace, make_policy
from stremn.models.prediction import PredictionNetwork


def default_policy() -> Policy:
    """The paper's: learned update, five slots."""
    return make_policy("learned", slots=5)


def rollout(
    model: PredictionNetwork,
    frames_BTCHW: Tensor,
    observed: int,
    predicted: int,
    policy: Policy | None = None,
    *,
    generator: torch.Generator | None = None,
    noise: bool = False,
    trace: Trace | None = None,
) -> Tensor:
    """Predict freely: only the first ``observed`` frames are used.

    Args:
        frames_BTCHW: in [0, 1], T ≥ observed; H and W multiples of ``model.stride``.
        observed: frames to watch, at least 1.
        predicted: frames to predict, any number ≥ 1.
        policy: the update rule of the slots, where there are any; by default learned with five slots.
        generator, noise: Gumbel noise in the learned rule (training).
        trace: records the slots; the observed stacks are then read as well, for their read mass.

    Returns:
        (B, predicted, C, H, W) in [0, 1]. With gradients enabled they run through the fed-back frames
        and the memory; without, slots are written in place.
    """
    if not 1 <= observed <= frames_BTCHW.shape[1] or predicted < 1:
        raise InputError(
            f"expected 1 ≤ observed ≤ {frames_BTCHW.shape[1]} frames and predicted ≥ 1, "
            f"found {observed} and {predicted}"
        )
    session = model.begin(
        policy or default_policy(),
        in_place=not torch.is_grad_enabled(),
        generator=generator,
        noise=noise,
        trace=trace,
    )
    results = [session.step(frames_BTCHW[:, :observed])]
    while len(results) < predicted:
        results.append(session.step(results[-1][:, None]))
    return torch.stack(results, 1)


@torch.no_grad()
def predict_clips(
    model: PredictionNetwork,
    clips_NTCHW: NDArray[np.floating],
    observed: int,
    predicted: int,
    policy: Policy | None = None,
    *,
    batch: int = 16,
    device: str = "cpu",
    seed: int = 0,
) -> NDArray[np.float32]:
    """Predictions for many clips, a batch at a time: (N, T, C, H, W) → (N, predicted, C, H, W)."""
    model = model.to(device).eval()
    generator = torch.Generator(device).manual_seed(seed)
    parts = []
    for start in range(0, len(clips_NTCHW), batch):
        part = np.ascontiguousarray(clips_NTCHW[start : start + batch, :observed], dtype=np.float32)
        frames = torch.from_numpy(part).to(device)
        result = rollout(model, frames, observed, predicted, policy, generator=generator)
        parts.append(result.float().cpu().numpy())
    return np.concatenate(parts)
