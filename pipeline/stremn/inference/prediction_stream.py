"""Prediction of a stream: one frame in, the next one predicted, a memory of constant size.

Letters: C channels, H W pixels.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stremn.errors import InputError
from stremn.memory import Policy, Trace
from stremn.models.prediction import PredictionNetwork
from stremn.tasks.prediction import default_policy


class PredictionStream:
    """A video in progress: one frame in, the next one predicted, memory of constant size.

    Args:
        model: a predictor; it is put into evaluation mode.
        policy: the update rule of the slots, where there are any; by default learned with five slots.
        device: where to compute.
        trace: record what happens in the slots, in ``.trace``; empty where there are none.
        seed: of the random rules.
    """

    def __init__(
        self,
        model: PredictionNetwork,
        policy: Policy | None = None,
        *,
        device: str = "cpu",
        trace: bool = True,
        seed: int = 0,
    ) -> None:
        self.model, self.device = model.to(device).eval(), device
        self.trace = Trace() if trace else None
        self.frame = 0
        generator = torch.Generator(device).manual_seed(seed)
        self._session = self.model.begin(
            policy or default_policy(), in_place=True, generator=generator, trace=self.trace
        )
        self._prediction: Tensor | None = None

    @property
    def memory(self) -> Any:
        """What is remembered now: slots (views that the next step may change), or recurrent states."""
        return self._session.state

    @torch.no_grad()
    def step(self, frame: NDArray[np.floating] | None = None) -> NDArray[np.float32]:
        """Take in a frame, or without one the last prediction, and predict the next.

        Args:
            frame: (C, H, W) in [0, 1], the same shape in every step; (H, W) where C = 1.

        Returns:
            The next frame, (C, H, W) in [0, 1].
        """
        new = self._prediction if frame is None else self._checked(frame)
        if new is None:
            raise InputError("expected a frame in the first step, found none")
        self._prediction = self._session.step(new[:, None])
        self.frame += 1
        return np.asarray(self._prediction[0].float().cpu().numpy())

    def _checked(self, frame: NDArray[np.floating]) -> Tensor:
        array = np.asarray(frame)
        array = array[None] if array.ndim == 2 else array
        if array.dtype.kind != "f" or array.ndim != 3 or len(array) != self.model.in_channels:
            raise InputError(
                f"expected a frame of floats ({self.model.in_channels}, H, W) in [0, 1], "
                f"found {array.dtype} {np.shape(frame)}"
            )
        if self._prediction is not None and array.shape != self._prediction.shape[1:]:
            raise InputError(
                f"expected frames of shape {tuple(self._prediction.shape[1:])} as before, found {array.shape}"
            )
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).to(self.device)[None]
