"""ConvLSTM (Shi et al., "Convolutional LSTM Network", NIPS 2015).

Letters: B clips, D channels of a state, h w map of patches.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from stremn.models.prediction import Output
from stremn.models.recurrent import RecurrentPredictor, normed_conv, start_remembering, zeros

State = tuple[tuple[Tensor, Tensor], ...]


class ConvLSTMCell(nn.Module):
    """One layer: an LSTM whose products are convolutions (Eq. 3).

    Args:
        channels_in: of the input.
        width: D.
        kernel: odd size of the convolutions.
        layer_norm: normalise the gates before their non-linearities.
        peepholes: gates look at the cell (∘ in Eq. 3). Differs: one weight for each channel, where the paper has
            one for each position as well, so that the network is not tied to one frame size.
    """

    def __init__(
        self,
        channels_in: int,
        width: int,
        kernel: int = 3,
        *,
        layer_norm: bool = False,
        peepholes: bool = False,
    ) -> None:
        super().__init__()
        self.gates = normed_conv(channels_in + width, 4 * width, kernel, norm=layer_norm, bias=True)
        self.peepholes = nn.Parameter(torch.zeros(3, width, 1, 1)) if peepholes else None
        start_remembering(self.gates, slice(width, 2 * width))

    def forward(self, x: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """Input (B, C, h, w), H and C of the frame before (B, D, h, w): H and C of this one."""
        i, f, g, o = self.gates(torch.cat([x, hidden], 1)).chunk(4, 1)
        if self.peepholes is not None:
            i, f = i + self.peepholes[0] * cell, f + self.peepholes[1] * cell
        cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
        if self.peepholes is not None:
            o = o + self.peepholes[2] * cell
        return o.sigmoid() * cell.tanh(), cell


class ConvLSTM(RecurrentPredictor):
    """Stacked ConvLSTM layers; all their states together make the next frame by a 1 × 1 convolution (Sec. 3.2).

    Args:
        in_channels: C, channels of a frame.
        hidden_dims: channels of each layer's state, the lowest layer first.
        kernel: odd size of the convolutions.
        patch: side P of the patches of a frame; H and W are multiples of it.
        layer_norm: normalise the gates. Differs: the paper has none.
        peepholes: see ``ConvLSTMCell``.
        output: ``frame`` (the paper's), ``change`` or ``blend``: see ``models.prediction.compose``.

    Differs: the paper's forecasting network is a copy of the encoding network's states with weights of
    its own and no input; here one network does both, and its predictions go in once frames are no longer
    observed, in training too. So it takes any number of frames, one by one.
    """

    def __init__(
        self,
        in_channels: int = 1,
        hidden_dims: Sequence[int] = (64, 64, 64),
        kernel: int = 5,
        patch: int = 4,
        layer_norm: bool = False,
        peepholes: bool = False,
        output: Output = "frame",
    ) -> None:
        super().__init__(in_channels, hidden_dims, kernel, patch, output)
        self.layers = nn.ModuleList(
            ConvLSTMCell(a, b, kernel, layer_norm=layer_norm, peepholes=peepholes)
            for a, b in pairwise([in_channels * patch**2, *hidden_dims])
        )
        self._add_prediction(sum(hidden_dims))

    def first_state(self, patches: Tensor) -> State:
        """Zeros: (H, C) of each layer."""
        return tuple((zeros(patches, d), zeros(patches, d)) for d in self.hidden_dims)

    def advance(self, patches: Tensor, state: State) -> tuple[Tensor, State]:
        """One frame's patches through all layers: all H side by side, and the new state."""
        x, new = patches, []
        for layer, (hidden, cell) in zip(self.layers, state, strict=True):
            x, cell = layer(x, hidden, cell)
            new.append((x, cell))
        return torch.cat([hidden for hidden, _ in new], 1), tuple(new)
