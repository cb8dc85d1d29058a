"""From what was read to the mask: ASPP, then upsampling with or without skips.

Letters: B images (clips × objects), H W map of the read, C channels.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stremn.models.backbones import ResidualBlock, group_norm


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling (DeepLab; STReMN Sec. 4.1.3) with a residual connection."""

    def __init__(self, channels: int, rates: Sequence[int] = (1, 2, 4, 8)) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Conv2d(channels, channels // len(rates), 3, padding=rate, dilation=rate) for rate in rates
        )
        self.norm = group_norm(channels // len(rates) * len(rates))
        self.merge = nn.Conv2d(channels // len(rates) * len(rates), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        pyramid = torch.cat([branch(x) for branch in self.branches], 1)
        return x + self.merge(torch.relu(self.norm(pyramid)))


class MaskDecoder(nn.Module):
    """One logit per pixel of one object.

    Args:
        channels_in: channels of the read joined with the query value (Eq. 5).
        widths: channels inside, at the stride of the read and after each of the two doublings.
        skip_channels: channels of the query encoder's finer maps, finest first, for STM's refinement;
            empty: no skips, the decoder sees the query only through the read (STReMN Sec. 3.3).
        stride: stride of the read; each of two steps doubles the size, the rest is bilinear.
        aspp_rates: dilations of the ASPP in front.
    """

    def __init__(
        self, channels_in: int, widths: Sequence[int], skip_channels: Sequence[int], aspp_rates: Sequence[int]
    ) -> None:
        super().__init__()
        width, *finer = widths
        self.enter = nn.Sequential(nn.Conv2d(channels_in, width, 3, padding=1), ResidualBlock(width, width))
        self.aspp = ASPP(width, aspp_rates)
        self.narrow = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip(widths, finer, strict=False))
        coarse_first = zip(reversed(skip_channels), finer, strict=False)
        self.skips = nn.ModuleList(nn.Conv2d(c, to, 3, padding=1) for c, to in coarse_first)
        self.steps = nn.ModuleList(ResidualBlock(to, to) for to in finer)
        self.predict = nn.Conv2d(finer[-1], 1, 3, padding=1)

    def forward(self, x: Tensor, skips: Sequence[Tensor], objects: int, size: tuple[int, int]) -> Tensor:
        """Logits (B, H, W) at ``size``; ``skips`` are per clip, repeated here for each of its objects."""
        x = self.aspp(self.enter(x))
        finer = list(reversed(list(skips)))
        for at, step in enumerate(self.steps):
            x = F.interpolate(self.narrow[at](x), scale_factor=2, mode="bilinear", align_corners=False)
            if self.skips:
                x = x + self.skips[at](finer[at]).repeat_interleave(objects, 0)
            x = step(x)
        logits = self.predict(x)
        return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)[:, 0]
