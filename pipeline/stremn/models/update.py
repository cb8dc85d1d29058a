"""A variant of the learned update: a slot's age as an input (not in the papers)."""

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
