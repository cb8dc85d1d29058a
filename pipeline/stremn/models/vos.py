"""What every VOS system offers to a rollout or a stream: encode a query, encode a memory, decode a read.

Letters: B clips, O objects, H W pixels, h w feature map, C channels.
"""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from stremn.ops.attention import Affinity


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


class VOSNetwork(Protocol):
    """The interface of STReMN, STM and STCN. ``stride`` is what H and W must be multiples of."""

    stride: int
    affinity: Affinity
    top_k: int | None

    def encode_query(self, frames_B3HW: Tensor) -> Query:
        """Encode RGB frames in [0, 1]."""
        ...

    def encode_memory(self, query: Query, masks_BOHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Key (B, G, Ck, h, w), value (B, O, Cv, h, w), update key (B, O, Cu, h, w) of a frame."""
        ...

    def decode(self, query: Query, read_BOChw: Tensor) -> Tensor:
        """Foreground probability of each object on its own, (B, O, H, W) in [0, 1]."""
        ...


def others(masks_BOHW: Tensor) -> Tensor:
    """For each object the sum of the other objects' masks, clamped to [0, 1]: STM's third mask input."""
    return (masks_BOHW.sum(1, keepdim=True) - masks_BOHW).clamp(0, 1)
