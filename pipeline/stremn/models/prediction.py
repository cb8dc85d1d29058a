"""What every system of video prediction offers to a rollout or a stream: begin, then step by step.

Letters: B clips, T frames, C channels, H W pixels.
"""

from typing import Any, Literal, Protocol, get_args

import torch
from torch import Tensor, nn

from stremn.errors import InputError
from stremn.memory import Policy, Trace

LOGIT_CLAMP = 1e-2  # how near to 0 and 1 the last frame may be where a change is added to it
BLEND_START = -2.0  # logit of the share of a new frame before training

Output = Literal["frame", "change", "blend"]


class PredictionSession(Protocol):
    """A video in progress: what a system remembers of the frames so far."""

    @property
    def state(self) -> Any:
        """What is remembered: slots (``MemoryState``), or the recurrent states of the layers."""
        ...

    def step(self, frames_BTCHW: Tensor) -> Tensor:
        """Take in the next T ≥ 1 frames, in [0, 1]; predict the one after them, (B, C, H, W) in [0, 1]."""
        ...


class PredictionNetwork(nn.Module):
    """Base of the systems of video prediction; adding one is a class with ``begin`` and a line in the registry.

    Attributes:
        in_channels: C.
        stride: what H and W must be multiples of.
    """

    in_channels: int
    stride: int

    def begin(
        self,
        policy: Policy,
        *,
        in_place: bool = False,
        generator: torch.Generator | None = None,
        noise: bool = False,
        trace: Trace | None = None,
    ) -> PredictionSession:
        """Start a video with an empty memory; a system without slots uses none of the arguments.

        Args:
            policy: the update rule of the slots.
            in_place: overwrite slots in place (no gradient).
            generator, noise: Gumbel noise in the learned rule (training).
            trace: records the slots.
        """
        raise NotImplementedError


def as_predictor(model: nn.Module) -> PredictionNetwork:
    """The same network, known to be one of video prediction."""
    if not isinstance(model, PredictionNetwork):
        raise TypeError(f"expected a PredictionNetwork, found {type(model).__name__}")
    return model


def check_output(output: str) -> None:
    """InputError unless ``output`` names one of the ways to make a frame."""
    if output not in get_args(Output):
        raise InputError(f"expected an output of {', '.join(get_args(Output))}, found {output!r}")


def compose(made: Tensor, last: Tensor, output: Output) -> Tensor:
    """The next frame (B, C, H, W) in [0, 1] from what a decoder made.

    Args:
        made: (B, C, H, W), with ``blend`` (B, C + 1, H, W): logits.
        last: the latest frame, (B, C, H, W) in [0, 1].
        output: ``frame``: the whole frame; ``change``: added to the last frame before the sigmoid;
            ``blend``: a new frame, and in the last channel how much of it replaces the last one.
    """
    if output == "change":
        return (made + torch.logit(last, LOGIT_CLAMP)).sigmoid()
    if output == "blend":
        return last + made[:, -1:].sigmoid() * (made[:, :-1].sigmoid() - last)
    return made.sigmoid()


def start_as_a_copy(predict: nn.Conv2d, output: Output, share: int = 1) -> None:
    """Let training begin from the prediction that the last frame stays (``blend``: almost).

    Args:
        predict: the layer that makes what ``compose`` takes.
        output: see ``compose``; ``frame`` is left as it is.
        share: the last channels of the layer that hold the share of the new frame.
    """
    bias = predict.bias
    assert bias is not None
    with torch.no_grad():
        if output == "change":
            predict.weight.zero_()
            bias.zero_()
        elif output == "blend":
            bias[-share:] = BLEND_START
