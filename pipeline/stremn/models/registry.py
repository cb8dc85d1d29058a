"""Systems by name."""

import inspect
from difflib import get_close_matches
from typing import Any

import torch
from torch import nn

from stremn.errors import InputError
from stremn.models.convlstm import ConvLSTM
from stremn.models.predictor import VideoPredictor
from stremn.models.predrnn import PredRNN
from stremn.models.stcn import STCN
from stremn.models.stm import STM
from stremn.models.stremn import STReMN

SYSTEMS: dict[str, type[nn.Module]] = {"stremn": STReMN, "stm": STM, "stcn": STCN}
"""VOS systems; adding one is a class with the methods of ``models.vos.VOSNetwork`` and a line here."""

PREDICTORS: dict[str, type[nn.Module]] = {
    "stremn": VideoPredictor,
    "convlstm": ConvLSTM,
    "predrnn": PredRNN,
}
"""Systems of video prediction; adding one is a ``models.prediction.PredictionNetwork`` and a line here."""


def build_model(
    system: str, fields: dict[str, Any], systems: dict[str, type[nn.Module]] | None = None
) -> nn.Module:
    """A fresh network of a system, its convolutions channels last (a fifth faster on a CPU, same numbers).

    A network's ``memory_format`` goes first: BatchNorm ResNets stay as released weights were computed.

    Raises:
        InputError: unknown system or field, named together with the nearest known one.
    """
    known = SYSTEMS if systems is None else systems
    if system not in known:
        raise InputError(f"expected a system of {', '.join(known)}, found {system!r}")
    accepted = list(inspect.signature(known[system]).parameters)
    for name in fields:
        if name not in accepted:
            near = get_close_matches(name, accepted, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise InputError(f"system {system!r} has no field {name!r}{hint}")
    network = known[system](**fields)
    return network.to(memory_format=getattr(network, "memory_format", torch.channels_last))  # type: ignore[call-overload,no-any-return]
