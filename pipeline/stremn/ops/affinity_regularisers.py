"""The two regularisers of the affinity in AMM's supplementary (Sec. VII), for training.

Both are a term that is added to the affinity before the softmax; reading without one is as it was.
Letters: B clips, G groups of keys, O objects, N query positions, M memory positions, C channels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from stremn.ops.attention import Affinity, augmented


@dataclass(frozen=True)
class AffinityRegulariser:
    """What to do with the affinity of one read.

    Attributes:
        dropout: probability q with which a connection between a memory and a query position is cut
            (AMM: 0.5).
        reallocation: move attention to an object's positions that get little of it.
        generator: source of the random numbers of the dropout; None: PyTorch's global one.
    """

    dropout: float = 0.0
    reallocation: bool = False
    generator: torch.Generator | None = None

    def bias(
        self,
        query_BNC: Tensor,
        keys_BGMC: Tensor,
        *,
        affinity: Affinity = "dot",
        valid_BOM: Tensor | None = None,
        object_BOM: Tensor | None = None,
    ) -> Tensor:
        """What to add to the affinity, (B, G or O, N or 1, M); no gradient passes through it.

        Args:
            query_BNC, keys_BGMC, affinity, valid_BOM: as for ``ops.attention.space_time_read``.
            object_BOM: boolean, the position shows the object; needed for ``reallocation``.
        """
        total = query_BNC.new_zeros(1, 1, 1, 1)
        if self.reallocation:
            if object_BOM is None:
                raise ValueError("reallocation needs the objects' positions in the memory")
            total = total + reallocation_bias(query_BNC, keys_BGMC, object_BOM, affinity)[:, :, None]
        if self.dropout:
            shape = (query_BNC.shape[0], keys_BGMC.shape[1], query_BNC.shape[1], keys_BGMC.shape[2])
            cut = dropped(shape, self.dropout, valid_BOM, self.generator, query_BNC.device)
            total = torch.where(cut, -torch.inf, total)
        return total


def dropped(
    shape: tuple[int, int, int, int],
    q: float,
    valid_BOM: Tensor | None,
    generator: torch.Generator | None,
    device: torch.device,
) -> Tensor:
    """Boolean (B, G or O, N, M): connections that are cut, each with probability q.

    The attention of the rest sums to 1 again, since they are cut before the softmax. A query position that
    would lose all its valid connections keeps them all.

    Args:
        shape: (B, G, N, M); objects that share keys share the cuts, for there is one affinity for them.
        valid_BOM: boolean, positions that an object may read at all; None: every one.
    """
    cut = torch.rand(shape, generator=generator, device=device) < q
    left = ~cut if valid_BOM is None else ~cut & valid_BOM[:, :, None]
    return cut & left.any(-1, keepdim=True)


@torch.no_grad()
def reallocation_bias(
    query_BNC: Tensor, keys_BGMC: Tensor, object_BOM: Tensor, affinity: Affinity = "dot"
) -> Tensor:
    """Log weight of every memory position, (B, O, M); 0 outside the object.

    A_i, the affinity of memory position i summed over all query positions, orders the positions of an
    object; the most attended has rank w = 1, the least attended w = n. Position i's attention is then
    multiplied by w_i over the mean rank (n + 1) / 2, so that the less discriminant ones count for more.

    Differs: the paper multiplies the affinity itself, a negative distance, by w_i / Σ w: a factor near 0, which
    makes all distances alike whatever their rank. Here the factor is on the attention weight, that is, its
    logarithm is added to the affinity. And the mean of the factors is 1, not their sum, so that the object
    as a whole keeps its weight beside the background.
    """
    query_BNC, keys_BGMC = augmented(query_BNC, keys_BGMC, affinity)
    total_BGM = (keys_BGMC @ query_BNC.sum(1)[:, None, :, None])[..., 0]
    total_BOM = total_BGM.expand(object_BOM.shape).masked_fill(~object_BOM, -torch.inf)
    order = total_BOM.argsort(dim=-1, descending=True, stable=True)
    rank_BOM = order.argsort(dim=-1) + 1
    mean_BO1 = (object_BOM.sum(-1, keepdim=True) + 1) / 2
    return torch.where(object_BOM, (rank_BOM / mean_BO1).log(), 0.0).to(query_BNC.dtype)
