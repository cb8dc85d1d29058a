"""PredRNN (Wang et al., "PredRNN: Recurrent Neural Networks for Predictive Learning using Spatiotemporal
LSTMs", NIPS 2017).

Letters: B clips, L layers, D channels of a state, h w map of patches.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from stremn.errors import InputError
from stremn.models.prediction import Output
from stremn.models.recurrent import RecurrentPredictor, normed_conv, start_remembering, zeros


@dataclass(frozen=True)
class PredRNNState:
    """What is remembered after a frame.

    Attributes:
        layers: (H, C) of each layer, each (B, D, h, w).
        memory: M of the top layer (B, D, h, w), where the lowest layer goes on at the next frame.
    """

    layers: tuple[tuple[Tensor, Tensor], ...]
    memory: Tensor


class STLSTMCell(nn.Module):
    """One layer: a cell C that goes on in time and a memory M that comes from the layer below (Eq. 5).

    Args:
        channels_in: of the input.
        width: D.
        kernel: odd size of the convolutions; the one that joins C and M is 1 × 1.
        layer_norm: normalise what each convolution gives to the gates.
    """

    def __init__(self, channels_in: int, width: int, kernel: int = 5, *, layer_norm: bool = False) -> None:
        super().__init__()
        self.width = width
        self.from_input = normed_conv(channels_in, 7 * width, kernel, norm=layer_norm, bias=True)
        self.from_hidden = normed_conv(width, 4 * width, kernel, norm=layer_norm, bias=False)
        self.from_memory = normed_conv(width, 3 * width, kernel, norm=layer_norm, bias=False)
        self.from_both = normed_conv(2 * width, width, kernel, norm=layer_norm, bias=False)
        self.join = nn.Conv2d(2 * width, width, 1, bias=False)
        start_remembering(self.from_input, slice(2 * width, 3 * width))
        start_remembering(self.from_input, slice(5 * width, 6 * width))

    def forward(
        self, x: Tensor, hidden: Tensor, cell: Tensor, memory: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Input (B, C, h, w), H and C of the frame before, M of the layer below: H, C and M here."""
        by_input = self.from_input(x).split([3 * self.width, 3 * self.width, self.width], 1)
        by_hidden = self.from_hidden(hidden).split([3 * self.width, self.width], 1)
        cell = _gated(by_input[0] + by_hidden[0], cell)
        memory = _gated(by_input[1] + self.from_memory(memory), memory)
        both = torch.cat([cell, memory], 1)
        o = by_input[2] + by_hidden[1] + self.from_both(both)
        return o.sigmoid() * self.join(both).tanh(), cell, memory


def _gated(gates: Tensor, before: Tensor) -> Tensor:
    """f ⊙ before + i ⊙ g, where the gates lie side by side as g, i, f."""
    g, i, f = gates.chunk(3, 1)
    return f.sigmoid() * before + i.sigmoid() * g.tanh()


class PredRNN(RecurrentPredictor):
    """Stacked ST-LSTM layers whose memory M zigzags: up through the layers, then on to the next frame's lowest.

    Args:
        in_channels: C, channels of a frame.
        hidden_dims: channels of each layer's state; all equal, as M passes through all layers.
        kernel: odd size of the convolutions.
        patch: side P of the patches of a frame; H and W are multiples of it.
        layer_norm: normalise the gates. Differs: the paper names none; the authors' code offers it.
        output: ``frame`` (the paper's), ``change`` or ``blend``: see ``models.prediction.compose``.

    Differs: training runs freely after the observed frames, as with STReMN; the paper feeds true frames at first and
    fewer and fewer of them (scheduled sampling). The decoupling loss of the later version is left out.
    """

    def __init__(
        self,
        in_channels: int = 1,
        hidden_dims: Sequence[int] = (64, 64, 64, 64),
        kernel: int = 5,
        patch: int = 4,
        layer_norm: bool = False,
        output: Output = "frame",
    ) -> None:
        super().__init__(in_channels, hidden_dims, kernel, patch, output)
        if len(set(hidden_dims)) != 1:
            raise InputError(
                f"expected hidden_dims that are all equal, as the memory passes through every layer, "
                f"found {list(hidden_dims)}"
            )
        self.layers = nn.ModuleList(
            STLSTMCell(a, b, kernel, layer_norm=layer_norm)
            for a, b in pairwise([in_channels * patch**2, *hidden_dims])
        )
        self._add_prediction(hidden_dims[-1])

    def first_state(self, patches: Tensor) -> PredRNNState:
        """Zeros everywhere."""
        layers = tuple((zeros(patches, d), zeros(patches, d)) for d in self.hidden_dims)
        return PredRNNState(layers, zeros(patches, self.hidden_dims[0]))

    def advance(self, patches: Tensor, state: PredRNNState) -> tuple[Tensor, PredRNNState]:
        """One frame's patches through all layers: H of the top one, and the new state."""
        x, memory, new = patches, state.memory, []
        for layer, (hidden, cell) in zip(self.layers, state.layers, strict=True):
            x, cell, memory = layer(x, hidden, cell, memory)
            new.append((x, cell))
        return x, PredRNNState(tuple(new), memory)
