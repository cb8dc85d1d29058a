"""The network of video prediction (STReMN Sec. 4.2): an encoder of frame stacks, heads, a decoder.

Letters: B clips, S frames of a stack, C channels of a frame, H W pixels, h w feature map.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from stremn.errors import InputError
from stremn.memory import Policy, Trace
from stremn.models.backbones import group_norm
from stremn.models.prediction import Output, PredictionNetwork, check_output, compose, start_as_a_copy
from stremn.models.predictor_memory import SlotSession, StackFeatures
from stremn.ops.attention import Affinity

SLOPE = 0.2  # of LeakyReLU below 0


class VideoPredictor(PredictionNetwork):
    """Predicts the frame after a stack; the memory itself is in ``stremn.memory``.

    Args:
        in_channels: C, channels of a frame.
        stack: S, consecutive frames that go in together (3 in the paper).
        base_width: channels of the first block; they double from block to block.
        max_width: largest width of a block.
        blocks: encoder blocks, and as many decoder blocks (6 in the paper).
        halvings: how many of the first encoder blocks have stride 2: features at 1 / 2^halvings.
        key_dim, value_dim, update_dim: channels of keys, values and update keys.
        affinity: ``dot`` (the paper's) or ``l2``.
        top_k: read only the k best memory positions; None: all.
        output: what the decoder makes. ``frame``: the whole frame (the paper's). Differs, learned in far
            fewer steps: ``change``, added to the last frame before the sigmoid; ``blend``, a new frame and
            how much of it replaces the last one at each pixel.
        skips: the query's finer maps reach the decoder. Differs: the paper's decoder has none (Sec. 3.3).
        read_memory: False: zeros in place of what is read, to measure what the memory is worth.

    The paper gives no widths or kernel sizes: 3 × 3 convolutions, each with GroupNorm and LeakyReLU.
    """

    def __init__(
        self,
        in_channels: int = 1,
        stack: int = 3,
        base_width: int = 32,
        max_width: int = 256,
        blocks: int = 6,
        halvings: int = 3,
        key_dim: int = 64,
        value_dim: int = 128,
        update_dim: int = 64,
        affinity: Affinity = "dot",
        top_k: int | None = None,
        output: Output = "frame",
        skips: bool = False,
        read_memory: bool = True,
    ) -> None:
        super().__init__()
        check_output(output)
        if not (0 < halvings <= blocks and stack >= 1 and in_channels >= 1 and 0 < base_width <= max_width):
            raise InputError(
                "expected 0 < halvings ≤ blocks, stack and in_channels ≥ 1 and 0 < base_width ≤ max_width, "
                f"found {halvings}, {blocks}, {stack}, {in_channels}, {base_width}, {max_width}"
            )
        self.in_channels, self.stack, self.output = in_channels, stack, output
        self.affinity, self.top_k, self.stride = affinity, top_k, 2**halvings
        self.read_memory = read_memory
        self.skip_blocks = halvings - 1 if skips else 0
        widths = [min(base_width * 2**i, max_width) for i in range(blocks)]
        entries = pairwise([stack * in_channels, *widths])
        self.encoder = nn.ModuleList(
            _down(a, b, 2 if i < halvings else 1) for i, (a, b) in enumerate(entries)
        )

        def head(width: int) -> nn.Conv2d:
            return nn.Conv2d(widths[-1], width, 3, padding=1)

        self.query_key, self.memory_key = head(key_dim), head(key_dim)
        self.query_update, self.memory_update = head(update_dim), head(update_dim)
        self.query_value, self.memory_value = head(value_dim), head(value_dim)
        self.memory_key.load_state_dict(self.query_key.state_dict())
        self.memory_update.load_state_dict(self.query_update.state_dict())
        exits = [2 * value_dim, *reversed(widths[:-1]), base_width]
        plan = enumerate(pairwise(exits))
        self.decoder = nn.ModuleList(_up(a, b, 2 if i >= blocks - halvings else 1) for i, (a, b) in plan)
        skip_exits = exits[blocks - halvings + 1 : blocks]
        sources = reversed(widths[: self.skip_blocks])
        self.skips = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip(sources, skip_exits, strict=False))
        self.predict = nn.Conv2d(base_width, in_channels + (output == "blend"), 3, padding=1)
        start_as_a_copy(self.predict, output)

    def begin(
        self,
        policy: Policy,
        *,
        in_place: bool = False,
        generator: torch.Generator | None = None,
        noise: bool = False,
        trace: Trace | None = None,
    ) -> SlotSession:
        """Start a video with an empty memory."""
        return SlotSession(self, policy, in_place=in_place, generator=generator, noise=noise, trace=trace)

    def encode(self, stacks: Tensor) -> StackFeatures:
        """Encode stacks (B, S·C, H, W) in [0, 1], oldest frame first; H and W multiples of ``stride``."""
        if stacks.shape[1] != self.stack * self.in_channels or any(
            s % self.stride for s in stacks.shape[-2:]
        ):
            raise InputError(
                f"expected stacks of {self.stack} frames of {self.in_channels} channels with sides that are "
                f"multiples of {self.stride}, found shape {tuple(stacks.shape)}"
            )
        x, finer = 2 * stacks - 1, []
        for block in self.encoder:
            x = block(x)
            finer.append(x)
        return StackFeatures(x, stacks[:, -self.in_channels :], tuple(finer[: self.skip_blocks]))

    def decode(self, query: StackFeatures, read: Tensor) -> Tensor:
        """The next frame (B, C, H, W) in [0, 1] from the read (B, Cv, h, w) and the query's value (Eq. 5)."""
        x = torch.cat([read, self.query_value(query.feature)], 1)
        first_skip = len(self.decoder) - len(self.skips) - 1
        for i, block in enumerate(self.decoder):
            x = block(x)
            at = i - first_skip
            if 0 <= at < len(self.skips):
                x = x + self.skips[at](query.skips[-1 - at])
        return compose(self.predict(x), query.last, self.output)


def _down(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    """Two convolutions, each with GroupNorm and LeakyReLU; the first may have a stride."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False),
        group_norm(channels_out),
        nn.LeakyReLU(SLOPE, inplace=True),
        nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False),
        group_norm(channels_out),
        nn.LeakyReLU(SLOPE, inplace=True),
    )


def _up(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    """Two deconvolutions, each with GroupNorm and LeakyReLU; the first may double the size."""
    kernel = 4 if stride == 2 else 3
    return nn.Sequential(
        nn.ConvTranspose2d(channels_in, channels_out, kernel, stride, 1, bias=False),
        group_norm(channels_out),
        nn.LeakyReLU(SLOPE, inplace=True),
        nn.ConvTranspose2d(channels_out, channels_out, 3, 1, 1, bias=False),
        group_norm(channels_out),
        nn.LeakyReLU(SLOPE, inplace=True),
    )
