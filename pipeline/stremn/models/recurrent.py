"""Recurrent predictors: stacked convolutional cells that take in a frame and put out the next one.

Letters: B clips, T frames, C channels of a frame, P side of a patch, H W pixels, h w = H/P W/P.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stremn.errors import InputError
from stremn.memory import Policy, Trace
from stremn.models.prediction import Output, PredictionNetwork, check_output, compose, start_as_a_copy

FORGET_START = 1.0  # bias of forget gates before training: a memory is kept until told otherwise


class RecurrentPredictor(PredictionNetwork):
    """What ConvLSTM and PredRNN share: patches in, a state for each layer, a frame out.

    A frame becomes a map of its P × P patches, (B, P²·C, h, w), as in the public description of both
    papers' experiments. While frames are observed they go in; after that the predictions do.

    Args:
        in_channels: C.
        hidden_dims: channels of each layer's state, the lowest layer first.
        kernel: odd size of the convolutions.
        patch: P; H and W are multiples of it.
        output: see ``models.prediction.compose``. ``frame`` is the papers', though theirs has no sigmoid.
    """

    def __init__(
        self, in_channels: int, hidden_dims: Sequence[int], kernel: int, patch: int, output: Output
    ) -> None:
        super().__init__()
        check_output(output)
        dims_ok = len(hidden_dims) > 0 and min(hidden_dims) >= 1
        if not (dims_ok and kernel >= 1 and kernel % 2 and patch >= 1 and in_channels >= 1):
            raise InputError(
                "expected hidden_dims with at least one layer, each ≥ 1, an odd kernel, patch and in_channels "
                f"≥ 1, found {list(hidden_dims)}, {kernel}, {patch}, {in_channels}"
            )
        self.in_channels, self.stride, self.output = in_channels, patch, output
        self.hidden_dims = tuple(hidden_dims)

    def _add_prediction(self, width: int) -> None:
        """The 1 × 1 convolution from ``width`` channels to patches of the next frame."""
        planes = self.in_channels + (self.output == "blend")
        self.predict = nn.Conv2d(width, planes * self.stride**2, 1)
        start_as_a_copy(self.predict, self.output, share=self.stride**2)

    def first_state(self, patches: Tensor) -> Any:
        """The state before the first frame: zeros."""
        raise NotImplementedError

    def advance(self, patches: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One frame's patches (B, P²·C, h, w) through all layers: what the prediction is made of, the state."""
        raise NotImplementedError

    def begin(
        self,
        policy: Policy,
        *,
        in_place: bool = False,
        generator: torch.Generator | None = None,
        noise: bool = False,
        trace: Trace | None = None,
    ) -> "RecurrentSession":
        """Start a video with a state of zeros; there are no slots, so a trace stays empty."""
        return RecurrentSession(self)


class RecurrentSession:
    """The recurrent state of one video; ``models.prediction.PredictionSession``."""

    def __init__(self, model: RecurrentPredictor) -> None:
        self.model = model
        self.state: Any = None

    def step(self, frames_BTCHW: Tensor) -> Tensor:
        """Take in the next frames; predict the one after them, (B, C, H, W) in [0, 1]."""
        model, side = self.model, self.model.stride
        if frames_BTCHW.shape[2] != model.in_channels or any(s % side for s in frames_BTCHW.shape[-2:]):
            raise InputError(
                f"expected frames of {model.in_channels} channels with sides that are multiples of {side}, "
                f"found shape {tuple(frames_BTCHW.shape[2:])}"
            )
        for frame in frames_BTCHW.unbind(1):
            patches = F.pixel_unshuffle(2 * frame - 1, side)
            if self.state is None:
                self.state = model.first_state(patches)
            hidden, self.state = model.advance(patches, self.state)
        made = F.pixel_shuffle(model.predict(hidden), side)
        return compose(made, frames_BTCHW[:, -1], model.output)


def zeros(patches: Tensor, width: int) -> Tensor:
    """A state (B, width, h, w) of zeros for a map of patches."""
    return patches.new_zeros(len(patches), width, *patches.shape[-2:])


def normed_conv(channels_in: int, channels_out: int, kernel: int, *, norm: bool, bias: bool) -> nn.Module:
    """A convolution that keeps the size, with layer normalisation over channels and positions on request.

    Differs from the PredRNN authors' code: the normalisation's scale is one for each channel, not for each position,
    so that the network is not tied to one frame size.
    """
    conv = nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2, bias=bias)
    return nn.Sequential(conv, nn.GroupNorm(1, channels_out)) if norm else conv


def start_remembering(gates: nn.Module, forget: slice) -> None:
    """Set the bias of the forget gates' channels; Differs: the papers name no starting value."""
    last = gates[-1] if isinstance(gates, nn.Sequential) else gates
    assert isinstance(last.bias, Tensor)
    with torch.no_grad():
        last.bias[forget] = FORGET_START
