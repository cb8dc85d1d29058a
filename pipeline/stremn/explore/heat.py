"""Where a pixel reads in the memory: the attention of one query position over the kept frames (STM Fig. 5).

Letters: K slots, O objects, M memory positions (all slots of them), n query positions, C channels, h w feature
map.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from stremn.inference.read_maps import attention
from stremn.memory import MemoryState
from stremn.memory.feature_state import FeatureState
from stremn.ops.attention import Affinity


@dataclass(frozen=True)
class Heat:
    """Attributes:
    slots: the kept frame of each slot, in the order of the trace's ``held_before``.
    maps: float32 (K, h, w): the attention; all of it sums to 1.
    positions: number of query positions that were averaged.
    """

    slots: list[int]
    maps: Tensor
    positions: int = 1

    @property
    def share(self) -> list[float]:
        """Share of the attention that each slot receives; they sum to 1."""
        return self.maps.sum((1, 2)).tolist()


def heat_maps(
    state: MemoryState | FeatureState,
    query_nC: Tensor,
    *,
    affinity: Affinity = "dot",
    top_k: int | None = None,
) -> Heat:
    """The attention of some query positions, averaged over them and over the objects that a slot holds.

    Args:
        state: the memory of one clip, with at least one slot.
        query_nC: query keys.
        affinity, top_k: of the network, see ``inference.read_maps.attention``.
    """
    seen_O = (state.valid if isinstance(state, MemoryState) else state.visible)[0].any(-1)
    rows = seen_O.nonzero().flatten().tolist()
    parts = [attention(state, query_nC, row, affinity=affinity, top_k=top_k) for row in rows]
    attention_M = torch.stack(parts).mean(0)
    height, width = state.size
    if isinstance(state, MemoryState):
        held = state.frame_index[0].amax(0).tolist()
        return Heat(held, attention_M.view(-1, height, width).cpu(), len(query_nC))
    frames = state.frame_index[0, 0]
    kept = frames >= 0
    held_K, place = frames[kept].unique(return_inverse=True)
    maps = attention_M.new_zeros(len(held_K), height * width)
    maps.index_put_((place, state.position[0, 0][kept]), attention_M[kept], accumulate=True)
    return Heat(held_K.tolist(), maps.view(-1, height, width).cpu(), len(query_nC))
