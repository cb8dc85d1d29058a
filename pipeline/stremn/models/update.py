"""Variants of the learned update: a slot's age, and a judge of looks (not in the papers)."""

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
    """Which look of an object a template shows, as a vector: learned, see ``training.looks``.

    A small network makes it of the mean and the deviation of the template's keys where the object is.

    Args:
        key_dim: channels of the keys.
        width: units of the small network.
        look_dim: channels of a look.
    """

    def __init__(self, key_dim: int, width: int = 64, look_dim: int = 32) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(2 * key_dim)
        self.first, self.last = nn.Linear(2 * key_dim, width), nn.Linear(width, look_dim)
        self.scale, self.offset = nn.Parameter(torch.tensor(8.0)), nn.Parameter(torch.tensor(0.5))

    def look(self, keys_BONC: Tensor, covers_BON: Tensor) -> Tensor:
        """(B, O, E), of length 1; shorter where the object covers less than one position.

        Args:
            keys_BONC: read keys of a template.
            covers_BON: share of each position that the object covers, in [0, 1].
        """
        return self.embed(describe(keys_BONC, covers_BON)) * covers_BON.sum(-1, keepdim=True).clamp(max=1)

    def embed(self, described: Tensor) -> Tensor:
        """What ``describe`` found (…, 2C) as looks of length 1 (…, E)."""
        return normalised(self.last(self.first(self.norm(described)).relu()))

    def same(self, looks_IE: Tensor, others_JE: Tensor) -> Tensor:
        """Probability that a look is the same as another one: (…, I, E), (…, J, E) → (…, I, J) in [0, 1]."""
        return self.same_logits(looks_IE, others_JE).sigmoid()

    def same_logits(self, looks_IE: Tensor, others_JE: Tensor) -> Tensor:
        """The log odds of ``same``."""
        return self.scale * (looks_IE @ others_JE.transpose(-1, -2) - self.offset)


def describe(keys_NC: Tensor, covers_N: Tensor) -> Tensor:
    """Mean and standard deviation of keys (…, N, C) over what an object covers (…, N): (…, 2C)."""
    weights = (covers_N / covers_N.sum(-1, keepdim=True).clamp_min(1e-3))[..., None]
    mean = (keys_NC * weights).sum(-2)
    variance = ((keys_NC - mean[..., None, :]).square() * weights).sum(-2)
    return torch.cat([mean, variance.clamp_min(1e-12).sqrt()], -1)
