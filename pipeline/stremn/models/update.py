"""Variants of the learned update: a slot's age, and a judge of templates (not in the papers)."""

import torch
from torch import Tensor, nn

from stremn.ops.similarity import normalised

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


class Judge(nn.Module):
    """How much alike two templates are, and which are worth nothing: learned by imitation, see ``training.imitation``.

    A linear map of a template's values makes the keys that are compared. Of its mean value, the mean where the object
    is, and how much the object covers, a small network makes a number that starts at 0: a hidden, blurred or
    flashed object tells nothing.

    Args:
        value_dim: channels of the values.
        key_dim: channels of the keys.
        width: units of the small network.
    """

    def __init__(self, value_dim: int, key_dim: int = 32, width: int = 32) -> None:
        super().__init__()
        self.key = nn.Linear(value_dim, key_dim, bias=False)
        self.first, self.last = nn.Linear(2 * value_dim + 1, width), nn.Linear(width, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def keys(self, values: Tensor) -> Tensor:
        """Of length 1: (…, N, Cv) → (…, N, Cu)."""
        return normalised(self.key(values))

    def worthless(self, values_BOKNC: Tensor, covers_BOKN: Tensor) -> Tensor:
        """(B, O, K), any real number, added to a slot's redundancy: high, the template goes first."""
        cover = covers_BOKN[..., None]
        area = cover.mean(-2)
        inside = (values_BOKNC * cover).mean(-2) / area.clamp_min(1e-3)
        seen = torch.cat([values_BOKNC.mean(-2), inside, area], -1)
        return self.last(self.first(seen).relu()).squeeze(-1)
