"""Straight-through Gumbel-softmax (STReMN Eqs. 2–3; Jang, Gu and Poole, ICLR 2017)."""

import torch
from torch import Tensor


def gumbel_noise(like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Independent Gumbel(0, 1) samples −log(−log u) in the shape of ``like``."""
    uniform = torch.rand(like.shape, generator=generator, device=like.device, dtype=torch.float32)
    tiny = torch.finfo(torch.float32).tiny
    exponential = -torch.log(uniform.clamp_min(tiny))
    return -torch.log(exponential.clamp_min(tiny))


def straight_through(
    scores: Tensor,
    allowed: Tensor,
    *,
    temperature: float = 1.0,
    noise: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Choose one allowed entry of the last axis: one-hot forward, softmax gradient backward.

    Args:
        scores: (…, K), any real numbers; the gradient flows into them.
        allowed: boolean (…, K); an entry that is False is never chosen. One True at least in each row.
        temperature: τ of Eq. 3, above 0.
        noise: add Gumbel noise (training). Without it the choice is the arg max of the allowed scores.

    Returns:
        (…, K): exactly 0 or 1, summing to 1. Equal scores: the first allowed one.
    """
    noisy = scores + gumbel_noise(scores, generator) if noise else scores
    logits = (noisy / temperature).masked_fill(~allowed, -torch.inf)
    soft = logits.softmax(-1)
    hard = torch.zeros_like(soft).scatter(-1, logits.argmax(-1, keepdim=True), 1.0)
    return hard + (soft - soft.detach())
