"""Systems by name."""

import inspect
from collections.abc import Mapping
from typing import Any, TypeVar, overload

import torch
from torch import nn

from stremn.errors import InputError, nearest
from stremn.models.convlstm import ConvLSTM
from stremn.models.prediction import PredictionNetwork
from stremn.models.predictor import VideoPredictor
from stremn.models.predrnn import PredRNN
from stremn.models.stcn import STCN
from stremn.models.stm import STM
from stremn.models.stremn import STReMN
from stremn.models.vos import VOSNetwork

SYSTEMS: dict[str, type[VOSNetwork]] = {"stremn": STReMN, "stm": STM, "stcn": STCN}
"""VOS systems; adding one is a subclass of ``models.vos.VOSNetwork`` and a line here."""

PREDICTORS: dict[str, type[PredictionNetwork]] = {
    "stremn": VideoPredictor,
    "convlstm": ConvLSTM,
    "predrnn": PredRNN,
}
"""Systems of video prediction; adding one is a ``models.prediction.PredictionNetwork`` and a line here."""


N = TypeVar("N", bound=nn.Module)


@overload
def build_model(system: str, fields: dict[str, Any]) -> VOSNetwork: ...
@overload
def build_model(system: str, fields: dict[str, Any], systems: Mapping[str, type[N]]) -> N: ...
def build_model(system: str, fields: dict[str, Any], systems: Mapping[str, Any] = SYSTEMS) -> nn.Module:
    """A fresh network of a system, its convolutions channels last (a fifth faster on a CPU, same numbers).

    A VOS system's ``memory_format`` goes first: BatchNorm ResNets stay as released weights were computed.

    Raises:
        InputError: unknown system or field, named together with the nearest known one.
    """
    if system not in systems:
        raise InputError(f"expected a system of {', '.join(systems)}, found {system!r}")
    accepted = list(inspect.signature(systems[system]).parameters)
    for name in fields:
        if name not in accepted:
            hint = nearest(name, accepted)
            raise InputError(f"system {system!r} has no field {name!r}{hint}")
    network: nn.Module = systems[system](**fields)
    layout = network.memory_format if isinstance(network, VOSNetwork) else torch.channels_last
    return network.to(memory_format=layout)  # type: ignore[call-overload,no-any-return]
