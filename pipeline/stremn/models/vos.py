"""The base of every VOS system: encode a query, encode a memory, decode a read, and what callers may ask.

Letters: B clips, O objects, H W pixels, h w feature map, C channels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stremn.memory import Template
from stremn.memory.state import Fusion
from stremn.models.update import Judge
from stremn.ops.affinity_regularisers import AffinityRegulariser
from stremn.ops.attention import Affinity

UpdateFrom = Literal["image", "mask"]


@dataclass(frozen=True)
class Query:
    """A frame seen by the query encoder.

    Attributes:
        frames: the normalised image (B, 3, H, W).
        feature: (B, C, h, w), the coarsest map.
        key: k^Q (B, Ck, h, w).
        value: v^Q (B, Cv, h, w).
        update_query: U^Q (B, Cu, h, w).
        skips: finer maps of the encoder, finest first.
    """

    frames: Tensor
    feature: Tensor
    key: Tensor
    value: Tensor
    update_query: Tensor
    skips: tuple[Tensor, ...] = ()

    def __getitem__(self, rows: slice | Tensor) -> "Query":
        """Some images of the batch."""
        skips = tuple(s[rows] for s in self.skips)
        return Query(
            self.frames[rows],
            self.feature[rows],
            self.key[rows],
            self.value[rows],
            self.update_query[rows],
            skips,
        )


class VOSNetwork(nn.Module):
    """Base of STReMN, STM and STCN; adding a system is a subclass and a line in ``models.registry.SYSTEMS``.

    Attributes:
        stride: what H and W of an encoded frame must be multiples of.
        affinity: how keys are compared in the read.
        read_top_k: memory positions that are read, the k best; None: all.
        memory_format: layout of the convolutions' weights.
        default_rule: the system's own update rule, entry of ``memory.POLICIES``.
        learns_update: it has update keys, which some rules compare.
        judges: it has a ``judge`` of looks.
        keeps_latest: its rule "every N" holds the latest frame too.
        pads_normalised: a frame's border is the mean colour (0 once normalised), else black.
        memorises_padding: in the memory encoder the masks reach over the border, else they are 0 there.
        update_from: what the incoming side of Eq. 1 sees: the ``image`` alone, or the ``mask`` too.
        age_score: what a slot's age in frames adds to its score; None: nothing.
        judge: what the rule ``learned_redundancy`` asks, see ``update.Judge``; None: the rule cannot be used.
    """

    stride: int
    affinity: Affinity = "dot"
    read_top_k: int | None = None
    memory_format: torch.memory_format = torch.channels_last
    default_rule: str = "learned"
    learns_update: bool = True
    judges: bool = False
    keeps_latest: bool = True
    pads_normalised: bool = False
    memorises_padding: bool = True
    update_from: UpdateFrom = "image"

    def __init__(self) -> None:
        super().__init__()
        self.age_score: Callable[[Tensor], Tensor] | None = None
        self.judge: Judge | None = None

    @property
    def top_k(self) -> int | None:
        """Memory positions that are read now; None: all."""
        return self.read_top_k

    @property
    def mean_colour(self) -> Tensor:
        """The colour (3, 1, 1) that is 0 once a frame is normalised."""
        raise NotImplementedError

    @property
    def logit_scale(self) -> Tensor | float:
        """Factor of the update scores before the Gumbel-softmax."""
        return 1.0

    @property
    def fusion(self) -> Fusion | None:
        """The fusion module with its strategy, for the memory; None: templates are not fused."""
        return None

    @property
    def affinity_regulariser(self) -> AffinityRegulariser | None:
        """What happens to the affinity while training; None: nothing."""
        return None

    def encode_query(self, frames_B3HW: Tensor) -> Query:
        """Encode RGB frames in [0, 1]."""
        raise NotImplementedError

    def encode_memory(self, query: Query, masks_BOHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Key (B, G, Ck, h, w), value (B, O, Cv, h, w), update key (B, O, Cu, h, w) of a frame."""
        raise NotImplementedError

    def decode(self, query: Query, read_BOChw: Tensor) -> Tensor:
        """Foreground probability of each object on its own, (B, O, H, W) in [0, 1]."""
        raise NotImplementedError

    def memorise(
        self, query: Query, masks_BOHW: Tensor, frame: int, known_BO: Tensor, given_BO: Tensor
    ) -> Template:
        """The template of a frame and its masks.

        Args:
            query: the frame, seen by the query encoder.
            masks_BOHW: probabilities of its objects in [0, 1], of the frame's (padded) size.
            frame: its index in the clip.
            known_BO: boolean, the object has appeared, in this frame or before.
            given_BO: boolean, the object's mask was given in this frame.
        """
        key, value, update_key = self.encode_memory(query, masks_BOHW)
        regulariser, cover = self.affinity_regulariser, None
        foreground = F.adaptive_avg_pool2d(masks_BOHW.detach(), (value.shape[-2], value.shape[-1]))
        if regulariser is not None and regulariser.reallocation and torch.is_grad_enabled():
            cover = foreground[:, :, None]
        return Template(
            key,
            value,
            update_key,
            update_key if self.update_from == "mask" else query.update_query,
            frame,
            known_BO,
            given_BO,
            self.logit_scale,
            age_score=self.age_score,
            fusion=self.fusion,
            cover=cover,
            foreground=foreground,
            judge=self.judge,
            affinity=self.affinity,
        )


def as_vos(model: nn.Module) -> VOSNetwork:
    """The same network, known to be a VOS system."""
    if not isinstance(model, VOSNetwork):
        raise TypeError(f"expected a VOSNetwork, found {type(model).__name__}")
    return model


def others(masks_BOHW: Tensor) -> Tensor:
    """For each object the sum of the other objects' masks, clamped to [0, 1]: STM's third mask input."""
    return (masks_BOHW.sum(1, keepdim=True) - masks_BOHW).clamp(0, 1)
