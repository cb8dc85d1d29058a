"""The fusion cell: a template that leaves the memory is distilled into one that stays (STReMN Eqs. 6–12).

Supplementary B; in the earlier version "Fusion Cell" (its Fig. 2). The paper reports it as a negative result
(Table 6) and leaves it out of its system. When it is called, and with which templates, is in ``memory.fusion``.

Letters: P pairs of templates, N = h·w positions, C channels, h w feature map.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KEEP = -3.0  # bias of the update gate at the start: z ≈ 0.05


def align(to_PNC: Tensor, source_PNC: Tensor) -> Tensor:
    """FAM, the feature alignment module (Eqs. 6, 7, 10): ``source`` gathered at the positions of ``to``.

    Softmax(X_to X_sourceᵀ) X_source: each position of ``to`` takes the positions of ``source`` that are
    like it, so a moved object lies on itself. Differs: the product is divided by √C, as the read's (Eq. 5);
    with hundreds of channels the plain one is an arg max from the start.

    Returns:
        (P, N of ``to``, C), each position a convex combination of positions of ``source``.
    """
    return F.scaled_dot_product_attention(to_PNC, source_PNC, source_PNC)


class FusionCell(nn.Module):
    """Filter and update gates (Eqs. 8–12).

    Silent: "f is implemented with a CNN": here f, g and h are a 1×1 convolution from 2·C to C/4 channels, ReLU,
    and a 3×3 convolution to C channels, each; 4.9 million weights in all at the paper's C of 768.
    Silent: how they start: the update gate starts nearly closed (z ≈ 0.05), so that a new cell
    hardly changes a trained memory.

    Args:
        channels: C of a template.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.filter, self.update, self.candidate = (_gate(channels) for _ in range(3))
        nn.init.constant_(self.update[-1].bias, KEEP)  # type: ignore[arg-type]

    def forward(self, leaving_PNC: Tensor, staying_PNC: Tensor, size: tuple[int, int]) -> Tensor:
        """X̂_j of Eq. 12 from X_i (leaving) and X_j (staying), both (P, N, C) with N = h·w = ``size``.

        Eq. 10 aligns X_i in one printing of the supplement and the filtered X'_i in the other; the second is
        meant, as the filter would have no effect otherwise.
        """
        there = align(leaving_PNC, staying_PNC)  # Eq. 6: X_j^A
        r = torch.sigmoid(_convolved(self.filter, leaving_PNC, there, size))  # Eq. 8
        here = align(staying_PNC, r * leaving_PNC)  # Eqs. 9 and 10: X_i^A
        z = torch.sigmoid(_convolved(self.update, here, staying_PNC, size))  # Eq. 11
        new = torch.tanh(_convolved(self.candidate, here, staying_PNC, size))
        return (1 - z) * staying_PNC + z * new  # Eq. 12


def _gate(channels: int) -> nn.Sequential:
    inner = max(1, channels // 4)
    return nn.Sequential(
        nn.Conv2d(2 * channels, inner, 1), nn.ReLU(), nn.Conv2d(inner, channels, 3, padding=1)
    )


def _convolved(layer: nn.Module, first_PNC: Tensor, second_PNC: Tensor, size: tuple[int, int]) -> Tensor:
    maps = torch.cat([first_PNC, second_PNC], -1).transpose(1, 2).unflatten(2, size)
    return layer(maps).flatten(2).transpose(1, 2)  # type: ignore[no-any-return]
