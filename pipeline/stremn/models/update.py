"""Variants of the learned update: a slot's age, and what a template is worth (not in the papers)."""

import torch
from torch import Tensor, nn

DECAYS = (1.0, 4.0, 16.0, 64.0)  # frames


class AgeScore(nn.Module):
    """What a slot's age adds to its score (Eq. 1) before the Gumbel-softmax.

    A weighted sum of log(1 + age) and of exp(−age/τ) for τ of 1, 4, 16 and 64 frames; the weights are learned
    and start at 0, so that the mechanism starts as the paper's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1 + len(DECAYS)))
        self.register_buffer("decays", torch.tensor(DECAYS), persistent=False)
        self.decays: Tensor

    def forward(self, age: Tensor) -> Tensor:
        """Scores in the shape of ``age`` (frames, at least 0)."""
        bases = torch.cat([age[..., None].log1p(), torch.exp(-age[..., None] / self.decays)], -1)
        return bases @ self.weight


class Worth(nn.Module):
    """How little a template is worth, added to its redundancy: a hidden, blurred or flashed object tells nothing.

    A small network sees the template's mean value, its mean where the object is, and how much the object covers;
    its last layer starts at 0.
    """

    def __init__(self, value_dim: int, width: int = 32) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(2 * value_dim + 1, width), nn.Linear(width, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, value_BOChw: Tensor, foreground_BOhw: Tensor) -> Tensor:
        """A number for each template (B, O), any real one; a high one goes first."""
        cover_BO1hw = foreground_BOhw[:, :, None]
        area_BO1 = cover_BO1hw.mean((-2, -1))
        inside_BOC = (value_BOChw * cover_BO1hw).mean((-2, -1)) / area_BO1.clamp_min(1e-3)
        seen = torch.cat([value_BOChw.mean((-2, -1)), inside_BOC, area_BO1], -1)
        return self.last(self.first(seen).relu()).squeeze(-1)
