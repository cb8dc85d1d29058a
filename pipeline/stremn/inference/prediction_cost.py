"""What one predicted frame costs.

Letters: T frames, C channels, H W pixels.
"""

import time

import numpy as np
import torch
from numpy.typing import NDArray

from stremn.memory import Policy
from stremn.models.prediction import PredictionNetwork
from stremn.tasks.prediction import default_policy


@torch.no_grad()
def milliseconds_per_frame(
    model: PredictionNetwork,
    observed_TCHW: NDArray[np.floating],
    predicted: int,
    policy: Policy | None = None,
    *,
    device: str = "cpu",
) -> float:
    """Median time of one frame that is taken in and followed by a prediction, one clip at a time.

    Args:
        model: a predictor; it is put into evaluation mode.
        observed_TCHW: frames to watch first, in [0, 1]; they are not timed.
        predicted: frames to time, ≥ 1; each is the prediction before it.
        policy: the update rule of the slots, where there are any; by default learned with five slots.
        device: where to compute.
    """
    frames = torch.from_numpy(np.ascontiguousarray(observed_TCHW, dtype=np.float32)).to(device)[None]
    session = model.to(device).eval().begin(policy or default_policy(), in_place=True)
    frame = session.step(frames)
    seconds = []
    for _ in range(predicted):
        _finish(device)
        started = time.perf_counter()
        frame = session.step(frame[:, None])
        _finish(device)
        seconds.append(time.perf_counter() - started)
    return 1000 * float(np.median(seconds))


def _finish(device: str) -> None:
    """Wait for a GPU, which computes behind Python's back."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
