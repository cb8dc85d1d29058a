"""STReMN for video object segmentation (STReMN Secs. 3 and 4.1).

Letters: B clips, O objects, H W pixels, h w feature map, C channels.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from stremn.errors import InputError
from stremn.memory.fusion import Fusion, checked_strategy
from stremn.models.backbones import BACKBONES, copy_shared_weights, make_backbone, normalisation
from stremn.models.decoder import MaskDecoder
from stremn.models.fusion import FusionCell
from stremn.models.update import AgeScore, Judge
from stremn.models.vos import Query, UpdateFrom, VOSNetwork, others
from stremn.ops.attention import Affinity


class STReMN(VOSNetwork):
    """Query encoder, memory encoder, heads and decoder; the memory itself is in ``stremn.memory``.

    Args:
        backbone: entry of ``BACKBONES``; ``resnet50_gn`` in the paper.
        key_dim, value_dim, update_dim: channels of keys (Ck), values (Cv) and update keys (Cu).
        decoder_dims: channels inside the decoder, coarse to fine.
        keys: ``memory``: keys of the memory come from frame and mask (STReMN, STM); ``image``: query and
            memory share one key of the image alone (STCN).
        affinity: ``dot`` (the papers') or ``l2`` (STCN's negative squared distance).
        top_k: read only the k best memory positions; None: all.
        decoder_skips: STM's refinement with skips. Differs: the paper has none ("without highway
            connections", Sec. 3.3), which is the default.
        aspp_rates: dilations of the ASPP.
        pretrained: ImageNet weights for both encoders.
        learn_logit_scale: a learned factor of the update scores. Differs: the paper has none.
        update_from: what the incoming side of Eq. 1 sees: ``image``, the query encoder's update key (the
            paper), or ``mask``, the incoming template's own update key, from frame and mask.
        update_age: a learned function of a slot's age is added to its score. Differs: the paper has none.
        judge: a learned judge of looks, for the rule ``learned_redundancy``. Differs: the paper has none.
        fusion: fuse evicted templates into others (Eqs. 6–12): entry of ``memory.fusion.STRATEGIES``; None:
            no fusion module, as the paper's final system.

    Raises:
        InputError: an unknown fusion strategy or ``update_from``.
    """

    def __init__(
        self,
        backbone: str = "resnet50_gn",
        key_dim: int = 128,
        value_dim: int = 512,
        update_dim: int = 128,
        decoder_dims: Sequence[int] = (256, 256, 256),
        keys: Literal["memory", "image"] = "memory",
        affinity: Affinity = "dot",
        top_k: int | None = None,
        decoder_skips: bool = False,
        aspp_rates: Sequence[int] = (1, 2, 4, 8),
        pretrained: bool = False,
        learn_logit_scale: bool = False,
        update_from: UpdateFrom = "image",
        update_age: bool = False,
        judge: bool = False,
        fusion: str | None = None,
    ) -> None:
        super().__init__()
        if update_from not in get_args(UpdateFrom):
            raise InputError(f"expected update_from 'image' or 'mask', found {update_from!r}")
        self.keys, self.affinity, self.read_top_k, self.decoder_skips = keys, affinity, top_k, decoder_skips
        self.query_encoder = make_backbone(backbone, pretrained=pretrained)
        self.memory_encoder = make_backbone(backbone, channels_in=5, pretrained=pretrained)
        copy_shared_weights(self.query_encoder, self.memory_encoder)
        *skip_channels, channels = BACKBONES[backbone].channels
        self.stride = BACKBONES[backbone].strides[-1]

        def head(width: int) -> nn.Conv2d:
            return nn.Conv2d(channels, width, 3, padding=1)

        self.query_key, self.query_value = head(key_dim), head(value_dim)
        self.query_update: nn.Conv2d | None = head(update_dim)
        self.memory_key = head(key_dim) if keys == "memory" else None
        self.memory_value, self.memory_update = head(value_dim), head(update_dim)
        with torch.no_grad():  # both sides of the read and of Eq. 1 start from the same map of the image
            for source, target in (
                (self.query_key, self.memory_key),
                (self.query_update, self.memory_update),
            ):
                if target is not None:
                    target.load_state_dict(source.state_dict())
        self.decoder = MaskDecoder(
            2 * value_dim, decoder_dims, skip_channels if decoder_skips else (), aspp_rates
        )
        self.log_logit_scale = nn.Parameter(torch.zeros(())) if learn_logit_scale else None
        self.update_from = update_from
        if update_from == "mask":
            self.query_update = None
        self.age_score = AgeScore() if update_age else None
        self.judge: Judge | None = None
        if judge:
            self.add_judge()
        self.fusion_strategy = checked_strategy(fusion)
        self.fusion_cell = FusionCell(key_dim + value_dim + update_dim) if fusion else None
        mean, std = normalisation(backbone)
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)
        self.mean: Tensor
        self.std: Tensor

    def add_judge(self) -> Judge:
        """A new judge of looks, which is to be trained (``training.looks``)."""
        self.judge, self.judges = Judge(self.query_key.out_channels), True
        return self.judge

    @property
    def mean_colour(self) -> Tensor:
        """The mean of what the backbone was trained with."""
        return self.mean

    @property
    def logit_scale(self) -> Tensor | float:
        """Factor of the update scores: 1, or e to the learned number."""
        return 1.0 if self.log_logit_scale is None else self.log_logit_scale.exp()

    @property
    def fusion(self) -> Fusion | None:
        """The fusion module with its strategy, for the memory; None without one."""
        if self.fusion_cell is None or self.fusion_strategy is None:
            return None
        return Fusion(self.fusion_cell, self.fusion_strategy, keys=self.memory_key is not None)

    def encode_query(self, frames_B3HW: Tensor) -> Query:
        """Encode RGB frames in [0, 1]; H and W are multiples of ``stride``."""
        frames = (frames_B3HW - self.mean) / self.std
        *skips, feature = self.query_encoder(frames)
        key = self.query_key(feature)
        return Query(
            frames,
            feature,
            key,
            self.query_value(feature),
            key[:, :0] if self.query_update is None else self.query_update(feature),
            tuple(skips) if self.decoder_skips else (),
        )

    def encode_memory(self, query: Query, masks_BOHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode a frame with the masks (or probabilities) of its objects, all objects in one batch."""
        batch, objects = masks_BOHW.shape[:2]
        images = query.frames[:, None].expand(-1, objects, -1, -1, -1)
        stacked = torch.cat([images, masks_BOHW[:, :, None], others(masks_BOHW)[:, :, None]], 2)
        feature = self.memory_encoder(stacked.flatten(0, 1))[-1]
        if self.memory_key is None:  # noqa: SIM108
            key = query.key[:, None]
        else:
            key = self.memory_key(feature).unflatten(0, (batch, objects))
        value = self.memory_value(feature).unflatten(0, (batch, objects))
        return key, value, self.memory_update(feature).unflatten(0, (batch, objects))

    def decode(self, query: Query, read_BOChw: Tensor) -> Tensor:
        """Probability of each object from its read and the query's value (Eq. 5), (B, O, H, W)."""
        objects = read_BOChw.shape[1]
        value = query.value[:, None].expand(-1, objects, -1, -1, -1)
        joined = torch.cat([read_BOChw, value], 2).flatten(0, 1)
        height, width = query.frames.shape[-2:]
        logits = self.decoder(joined, query.skips, objects, (height, width))
        return logits.unflatten(0, (-1, objects)).sigmoid()
