"""Mixed precision: the convolutions of a network in half the bits, everything else in float32."""

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from stremn.errors import InputError
from stremn.memory.state import Fusion
from stremn.models.vos import Query, VOSNetwork

PRECISIONS: dict[str, torch.dtype | None] = {
    "float32": None,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def choose_precision(wanted: str, device: str) -> str:
    """A precision by name.

    Args:
        wanted: entry of ``PRECISIONS``, or ``auto``: half precision on CUDA (``bfloat16`` where it is
            computed natively, else ``float16``), ``float32`` elsewhere.
        device: such as ``cpu`` or ``cuda:1``.

    Raises:
        InputError: an unknown name, or ``float16`` without CUDA.
    """
    cuda = torch.device(device).type == "cuda"
    if wanted == "auto":
        native = cuda and torch.cuda.is_bf16_supported(including_emulation=False)
        return "bfloat16" if native else "float16" if cuda else "float32"
    if wanted not in PRECISIONS:
        raise InputError(f"expected a precision of auto, {', '.join(PRECISIONS)}, found {wanted!r}")
    if wanted == "float16" and not cuda:
        raise InputError(f"expected float32 or bfloat16 on {device}, found float16: it needs a CUDA device")
    return wanted


class MixedPrecision(VOSNetwork):
    """A VOS network whose encoders and decoder compute under autocast; what they return is float32.

    Keys, memory, similarity and the space-time read stay in float32: a learned choice among slots hangs on
    small differences of scores, and STCN's distances lose too much in half precision.

    Args:
        network: a VOS system in evaluation mode.
        device: where it computes.
        dtype: of the convolutions.
    """

    def __init__(self, network: VOSNetwork, device: str, dtype: torch.dtype) -> None:
        super().__init__()
        self._network, self.age_score = network, network.age_score
        self._device, self._dtype = torch.device(device).type, dtype
        for name in VOSNetwork.__annotations__:
            setattr(self, name, getattr(network, name))

    @property
    def mean_colour(self) -> Tensor:
        """As the network's."""
        return self._network.mean_colour

    @property
    def logit_scale(self) -> Tensor | float:
        """As the network's."""
        return self._network.logit_scale

    @property
    def fusion(self) -> Fusion | None:
        """As the network's."""
        return self._network.fusion

    def encode_query(self, frames_B3HW: Tensor) -> Query:
        """As the network's."""
        with self._autocast():
            query = self._network.encode_query(frames_B3HW)
        maps = {name: getattr(query, name).float() for name in ("feature", "key", "value", "update_query")}
        return replace(query, **maps)

    def encode_memory(self, query: Query, masks_BOHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As the network's."""
        with self._autocast():
            key, value, update_key = self._network.encode_memory(query, masks_BOHW)
        return key.float(), value.float(), update_key.float()

    def decode(self, query: Query, read_BOChw: Tensor) -> Tensor:
        """As the network's."""
        with self._autocast():
            probabilities = self._network.decode(query, read_BOChw)
        return probabilities.float()

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self._device, self._dtype)


def with_precision(network: VOSNetwork, precision: str, device: str) -> VOSNetwork:
    """The network itself for ``float32``, else a ``MixedPrecision`` of it."""
    dtype = PRECISIONS[precision]
    return network if dtype is None else MixedPrecision(network, device, dtype).eval()
