"""STM: video object segmentation using space-time memory networks (Oh et al., ICCV 2019).

The arithmetic is the released network's, whose weights ``models.official`` reads.
Letters: B clips, O objects, H W pixels, h w feature map, C channels.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stremn.models.backbones import normalisation
from stremn.models.resnet import (
    PlainBlock,
    freeze_batch_norm,
    make_trunk,
    memory_format,
    start_from,
    sum_first_convolution,
    trunk_entry,
)
from stremn.models.vos import Query, VOSNetwork, others


class Refine(nn.Module):
    """One refinement module (STM Sec. 3.3): twice the size, with a skip of the query encoder."""

    def __init__(self, skip_channels: int, width: int) -> None:
        super().__init__()
        self.skip = nn.Conv2d(skip_channels, width, 3, padding=1)
        self.skip_block, self.block = PlainBlock(width, width), PlainBlock(width, width)

    def forward(self, x: Tensor, skip: Tensor, objects: int) -> Tensor:
        """``x`` is per object, ``skip`` per clip."""
        finer = self.skip_block(self.skip(skip)).repeat_interleave(objects, 0)
        return self.block(finer + doubled(x))


class RefineDecoder(nn.Module):
    """The decoder of STM: from the read joined with the query value to two logits per pixel."""

    def __init__(self, channels_in: int, skip_channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.enter, self.block = nn.Conv2d(channels_in, width, 3, padding=1), PlainBlock(width, width)
        self.refine = nn.ModuleList(Refine(c, width) for c in reversed(skip_channels))
        self.predict = nn.Conv2d(width, 2, 3, padding=1)

    def forward(self, x: Tensor, skips: Sequence[Tensor], objects: int) -> Tensor:
        """Logits of not-object and object at the finest skip, (B · O, 2, h, w)."""
        x = self.block(self.enter(x))
        for step, skip in zip(self.refine, reversed(skips), strict=True):
            x = step(x, skip, objects)
        return self.predict(torch.relu(x))


class STM(VOSNetwork):
    """Two encoders, four heads and the refinement decoder; the memory is in ``stremn.memory``.

    Args:
        backbone: entry of ``resnet.TRUNKS`` (``resnet50`` in the paper) or of ``BACKBONES``.
        key_dim, value_dim: channels of keys and values.
        decoder_dim: channels inside the decoder.
        pretrained: ImageNet weights for both encoders.
        freeze_norm: BatchNorm in evaluation mode while training too (the paper "disabled" it, Sec. 3.5).

    Differs: without ImageNet weights the two encoders and the two key heads start equal (image channels).
    """

    learns_update = False
    default_rule = "every_n"
    memorises_padding = False  # the release cuts a result back before it pads it again

    def __init__(
        self,
        backbone: str = "resnet50",
        key_dim: int = 128,
        value_dim: int = 512,
        decoder_dim: int = 256,
        pretrained: bool = False,
        freeze_norm: bool = True,
    ) -> None:
        super().__init__()
        entry = trunk_entry(backbone)
        self.stride, self.freeze_norm = entry.strides[-1], freeze_norm
        self.memory_format = memory_format(backbone)
        self.query_encoder = make_trunk(backbone, pretrained=pretrained)
        self.memory_encoder = make_trunk(backbone, channels_in=5, pretrained=pretrained)
        *skip_channels, channels = entry.channels
        start_from(self.memory_encoder, self.query_encoder.state_dict())
        sum_first_convolution(self.memory_encoder)

        def head(width: int) -> nn.Conv2d:
            return nn.Conv2d(channels, width, 3, padding=1)

        self.query_key, self.query_value = head(key_dim), head(value_dim)
        self.memory_key, self.memory_value = head(key_dim), head(value_dim)
        self.memory_key.load_state_dict(self.query_key.state_dict())
        self.decoder = RefineDecoder(2 * value_dim, skip_channels, decoder_dim)
        mean, std = normalisation(backbone)
        for side in ("query", "memory"):  # the release stores them with the weights, so they travel along
            self.register_buffer(f"{side}_mean", torch.tensor(mean).view(1, 3, 1, 1))
            self.register_buffer(f"{side}_std", torch.tensor(std).view(1, 3, 1, 1))
        self.query_mean: Tensor
        self.query_std: Tensor
        self.memory_mean: Tensor
        self.memory_std: Tensor

    @property
    def mean_colour(self) -> Tensor:
        """The mean of what the backbone was trained with."""
        return self.query_mean[0]

    def train(self, mode: bool = True) -> "STM":
        """Training mode, with BatchNorm left in evaluation mode where ``freeze_norm`` says so."""
        super().train(mode)
        if self.freeze_norm:
            freeze_batch_norm(self)
        return self

    def encode_query(self, frames_B3HW: Tensor) -> Query:
        """Encode RGB frames in [0, 1]; H and W are multiples of ``stride``. ``Query.frames`` stays RGB."""
        *skips, feature = self.query_encoder((frames_B3HW - self.query_mean) / self.query_std)
        key, value = self.query_key(feature), self.query_value(feature)
        return Query(frames_B3HW, feature, key, value, key[:, :0], tuple(skips))

    def encode_memory(self, query: Query, masks_BOHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode a frame with the probabilities of its objects; key and value per object, no update key."""
        batch, objects = masks_BOHW.shape[:2]
        images = ((query.frames - self.memory_mean) / self.memory_std)[:, None].expand(
            -1, objects, -1, -1, -1
        )
        stacked = torch.cat([images, masks_BOHW[:, :, None], others(masks_BOHW)[:, :, None]], 2)
        feature = self.memory_encoder(stacked.flatten(0, 1))[-1]
        key = self.memory_key(feature).unflatten(0, (batch, objects))
        return key, self.memory_value(feature).unflatten(0, (batch, objects)), key[:, :, :0]

    def decode(self, query: Query, read_BOChw: Tensor) -> Tensor:
        """Probability of each object from its read and the query's value, (B, O, H, W)."""
        objects = read_BOChw.shape[1]
        joined = joined_read(query, read_BOChw)
        logits = self.decoder(joined, query.skips, objects)
        logits = F.interpolate(logits, size=query.frames.shape[-2:], mode="bilinear", align_corners=False)
        return logits.softmax(1)[:, 1].unflatten(0, (-1, objects))


def doubled(x: Tensor) -> Tensor:
    """Twice the size, bilinear."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def joined_read(query: Query, read_BOChw: Tensor) -> Tensor:
    """Each object's read joined with the query's value, (B · O, 2 Cv, h, w)."""
    value = query.value[:, None].expand(-1, read_BOChw.shape[1], -1, -1, -1)
    return torch.cat([read_BOChw, value], 2).flatten(0, 1)
