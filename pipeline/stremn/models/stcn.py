"""STCN: rethinking space-time networks with improved memory coverage (Cheng et al., NeurIPS 2021).

The arithmetic is the released network's, whose weights ``models.official`` reads. Beside it the two
regularisers of the affinity in AMM's supplementary (Sec. VII).
Letters: B clips, O objects, H W pixels, h w feature map, C channels.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stremn.errors import InputError
from stremn.models.backbones import normalisation
from stremn.models.resnet import PlainBlock, freeze_batch_norm, make_trunk, memory_format, trunk_entry
from stremn.models.stm import doubled, joined_read
from stremn.models.vos import Query, VOSNetwork
from stremn.ops.affinity_regularisers import AffinityRegulariser


class CBAM(nn.Module):
    """Convolutional block attention (Woo et al., ECCV 2018): a gate for each channel, then for each position."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        inner = max(1, channels // reduction)
        self.squeeze, self.excite = nn.Linear(channels, inner), nn.Linear(inner, channels)
        self.spatial = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.stack([x.mean((2, 3)), x.amax((2, 3))])
        x = x * self.excite(torch.relu(self.squeeze(pooled))).sum(0).sigmoid()[..., None, None]
        return x * self.spatial(torch.stack([x.amax(1), x.mean(1)], 1)).sigmoid()


class Fuser(nn.Module):
    """The value encoder's feature and the key encoder's feature in one map."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.enter, self.leave = PlainBlock(channels_in, channels_out), PlainBlock(channels_out, channels_out)
        self.attention = CBAM(channels_out)

    def forward(self, x: Tensor, feature: Tensor) -> Tensor:
        x = self.enter(torch.cat([x, feature], 1))
        return self.leave(x + self.attention(x))


class Widen(nn.Module):
    """One step of the decoder: twice the size, plus a skip of the key encoder, then a residual block."""

    def __init__(self, skip_channels: int, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.skip = nn.Conv2d(skip_channels, channels_in, 3, padding=1)
        self.block = PlainBlock(channels_in, channels_out)

    def forward(self, x: Tensor, skip: Tensor, objects: int) -> Tensor:
        """``x`` is per object, ``skip`` per clip."""
        return self.block(self.skip(skip).repeat_interleave(objects, 0) + doubled(x))


class STCN(VOSNetwork):
    """A key encoder of the image alone, a light value encoder, and a decoder; the memory is in ``stremn.memory``.

    Args:
        backbone: of the key encoder: entry of ``resnet.TRUNKS`` (``resnet50`` in the paper) or ``BACKBONES``.
        value_backbone: of the value encoder (``resnet18`` in the paper), with the same coarsest stride. Unlike
            torchvision's, the convolutions of this ResNet have biases, as in the release.
        key_dim, value_dim: channels of keys and values.
        decoder_dims: channels inside the decoder, coarse to fine.
        top_k: memory positions that are read (evaluation; in training all are); None: all.
        pretrained: ImageNet weights for both encoders.
        freeze_norm: BatchNorm in evaluation mode while training too, as in the paper.
        affinity_dropout: while training, share of the connections between memory and query positions that
            are cut (AMM Sec. VII: 0.5).
        feature_reallocation: while training, attention moves to the object's positions that get little of
            it (AMM Sec. VII). See ``ops.affinity_regularisers`` for both.
    """

    learns_update = False
    default_rule = "every_n"
    keeps_latest = False  # the release holds frames 0, 5, 10, … alone
    pads_normalised = True
    affinity = "l2"

    def __init__(
        self,
        backbone: str = "resnet50",
        value_backbone: str = "resnet18",
        key_dim: int = 64,
        value_dim: int = 512,
        decoder_dims: Sequence[int] = (512, 256, 256),
        top_k: int | None = 20,
        pretrained: bool = False,
        freeze_norm: bool = True,
        affinity_dropout: float = 0.0,
        feature_reallocation: bool = False,
    ) -> None:
        super().__init__()
        if not 0 <= affinity_dropout < 1:
            raise InputError(
                f"expected affinity_dropout from 0 to below 1, found {affinity_dropout}: try 0.5"
            )
        self.affinity_dropout, self.feature_reallocation = affinity_dropout, feature_reallocation
        entry, light = trunk_entry(backbone), trunk_entry(value_backbone)
        self.stride, self.freeze_norm, self.read_top_k = entry.strides[-1], freeze_norm, top_k
        self.memory_format = memory_format(backbone)
        if light.strides[-1] != self.stride:
            raise InputError(
                f"expected key and value encoders of one stride, found {backbone!r} with {self.stride} "
                f"and {value_backbone!r} with {light.strides[-1]}: name another value_backbone"
            )
        if normalisation(backbone) != normalisation(value_backbone):
            raise InputError(
                f"expected key and value encoders that want images in one scale, found {backbone!r} and "
                f"{value_backbone!r}: name another value_backbone"
            )
        self.key_encoder = make_trunk(backbone, pretrained=pretrained)
        self.value_encoder = make_trunk(value_backbone, channels_in=5, pretrained=pretrained, bias=True)
        self.register_load_state_dict_pre_hook(_zero_biases)
        *skip_channels, channels = entry.channels
        self.key, self.query_value = (nn.Conv2d(channels, d, 3, padding=1) for d in (key_dim, value_dim))
        nn.init.orthogonal_(self.key.weight)
        self.fuser = Fuser(light.channels[-1] + channels, value_dim)
        first, *_ = decoder_dims
        self.compress = PlainBlock(2 * value_dim, first)
        steps = zip(reversed(skip_channels), decoder_dims, decoder_dims[1:], strict=False)
        self.widen = nn.ModuleList(Widen(*step) for step in steps)
        self.predict = nn.Conv2d(decoder_dims[-1], 1, 3, padding=1)
        mean, std = normalisation(backbone)
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)
        self.mean: Tensor
        self.std: Tensor

    @property
    def mean_colour(self) -> Tensor:
        """The mean of what the backbone was trained with."""
        return self.mean

    @property
    def top_k(self) -> int | None:
        """Positions read: all while training, as in the paper."""
        return None if self.training else self.read_top_k

    @property
    def affinity_regulariser(self) -> AffinityRegulariser | None:
        """What happens to the affinity while training; None: nothing."""
        if not self.training or not (self.affinity_dropout or self.feature_reallocation):
            return None
        return AffinityRegulariser(self.affinity_dropout, self.feature_reallocation)

    def train(self, mode: bool = True) -> "STCN":
        """Training mode, with BatchNorm left in evaluation mode where ``freeze_norm`` says so."""
        super().train(mode)
        if self.freeze_norm:
            freeze_batch_norm(self)
        return self

    def encode_query(self, frames_B3HW: Tensor) -> Query:
        """Encode RGB frames in [0, 1]; H and W are multiples of ``stride``. The key serves the memory too."""
        frames = (frames_B3HW - self.mean) / self.std
        *skips, feature = self.key_encoder(frames)
        key = self.key(feature)
        return Query(frames, feature, key, self.query_value(feature), key[:, :0], tuple(skips))

    def encode_memory(self, query: Query, masks_BOHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Key of the image (B, 1, Ck, h, w), value of each object (B, O, Cv, h, w), and no update key."""
        batch, objects = masks_BOHW.shape[:2]
        images = query.frames[:, None].expand(-1, objects, -1, -1, -1)
        rest = other_masks(masks_BOHW)
        stacked = torch.cat([images, masks_BOHW[:, :, None], rest[:, :, None]], 2)
        light = self.value_encoder(stacked.flatten(0, 1))[-1]
        value = self.fuser(light, query.feature.repeat_interleave(objects, 0)).unflatten(0, (batch, objects))
        return query.key[:, None], value, value[:, :, :0]

    def decode(self, query: Query, read_BOChw: Tensor) -> Tensor:
        """Probability of each object from its read and the query's value, (B, O, H, W)."""
        objects = read_BOChw.shape[1]
        x = self.compress(joined_read(query, read_BOChw))
        for step, skip in zip(self.widen, reversed(query.skips), strict=True):
            x = step(x, skip, objects)
        logits = self.predict(torch.relu(x))
        logits = F.interpolate(logits, size=query.frames.shape[-2:], mode="bilinear", align_corners=False)
        return logits[:, 0].unflatten(0, (-1, objects)).sigmoid()


def _zero_biases(model: nn.Module, weights: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Give zero biases to checkpoints saved before the value encoder had any: the same network."""
    own = model.state_dict()
    ours = [n for n in own if n.startswith("value_encoder.") and ("conv" in n or "downsample.0" in n)]
    biases = [name for name in ours if name.endswith(".bias")]
    if not any(prefix + name in weights for name in biases):
        weights.update({prefix + name: torch.zeros_like(own[name]) for name in biases})


def other_masks(masks_BOHW: Tensor) -> Tensor:
    """For each object the plain sum of the other objects' masks (STM's is clamped to [0, 1])."""
    if masks_BOHW.shape[1] == 1:
        return torch.zeros_like(masks_BOHW)
    return masks_BOHW.sum(1, keepdim=True) - masks_BOHW
