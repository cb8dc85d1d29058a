"""The space-time read that also counts which memory positions it used (AMM Sec. III-D).

Letters as in ``ops.attention``: B clips, G groups of keys (1 or O), O objects, N query positions, n of them
at a time, M memory positions, k best, C channels; R rows of weights (1: the same for all objects, or O).
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from stremn.ops.attention import Affinity, gathered

MAX_ELEMENTS = 2**22  # of the affinity that is held at once (16 MiB in float32)


@dataclass(frozen=True)
class CountedRead:
    """What was read, and what of the memory was used for it.

    Attributes:
        read: (B, O, N, Cv), zeros for an object that sees nothing.
        index: float64 (B, M), use of each memory position by this read.
        mass: share of the attention that each position got, mean over the objects that see something,
            (B, M); None where it was not asked for.
    """

    read: Tensor
    index: Tensor
    mass: Tensor | None


def counted_read(
    query_BNC: Tensor,
    keys_BGMC: Tensor,
    values_BOMC: Tensor,
    *,
    affinity: Affinity = "dot",
    top_k: int | None = None,
    visible_BOM: Tensor | None = None,
    index: Literal["top_k", "softmax"] = "top_k",
    index_k: int = 20,
    mass: bool = False,
) -> CountedRead:
    """As ``space_time_read``, and count the use of every memory position.

    Args:
        query_BNC, keys_BGMC, values_BOMC, affinity, top_k: see ``space_time_read``.
        visible_BOM: boolean; False hides a position from an object. None: all is visible. Needs no True.
        index: ``top_k``: 1 for each query position among whose best affinities a memory position is;
            ``softmax``: the weights of the read, added over the query positions.
        index_k: how many best count with index ``top_k`` where ``top_k`` is None.
        mass: also return the share of the attention.

    With one key for all objects (G = 1) there is one affinity, and it is counted once, over all positions
    that any object sees. With a key for each object the counts of all objects are added. Equal affinities
    at the edge of the k best: ``torch.topk`` decides, the same way for the same input.

    Unlike ``space_time_read`` this holds the affinity (n × M), for a part of the query at a time.
    """
    # one row of weights serves all objects where they share the keys and see the same positions
    shared = keys_BGMC.shape[1] == 1
    rows = 1 if visible_BOM is None and shared else values_BOMC.shape[1]
    # as many query positions at a time as the largest affinity allows
    size = max(1, MAX_ELEMENTS // (query_BNC.shape[0] * rows * keys_BGMC.shape[2]))
    hidden_BOM, hidden_B1M, sees_BO = _hidden(visible_BOM)
    reads, uses, masses = [], [], []
    for part_BnC in query_BNC.split(size, 1):
        # the read: each object's weights over what it sees
        affinity_BGnM = _affinity(part_BnC, keys_BGMC, affinity)
        weights = _weights(_hide(affinity_BGnM, hidden_BOM), top_k)
        reads.append(_read(weights, values_BOMC))
        if mass:
            masses.append(_over_rows(_mass(weights), sees_BO))
        # the count: shared keys are counted once, over what any object sees, else each object's own read is
        counting_BO = sees_BO
        if shared and visible_BOM is not None:
            weights, counting_BO = _weights(_hide(affinity_BGnM, hidden_B1M), top_k), None
        used = _hits(weights, top_k or index_k) if index == "top_k" else _mass(weights)
        uses.append(_over_rows(used.double(), counting_BO))
    # objects that see nothing were let see everything: their reads become 0, and they are no readers
    read_BONC = torch.cat(reads, 2)
    if sees_BO is None:
        readers = read_BONC.new_tensor(rows)
    else:
        read_BONC = read_BONC * sees_BO[..., None, None]
        readers = sees_BO.sum(-1, keepdim=True).clamp_min(1)
    # attention that each position got, as a share of all that was paid
    share_BM = torch.stack(masses).sum(0) / (query_BNC.shape[1] * readers) if mass else None
    return CountedRead(read_BONC, torch.stack(uses).sum(0), share_BM)


@dataclass(frozen=True)
class _Weights:
    """Weights of a read for n query positions: of all M memory positions, or of the k best at ``at``."""

    affinity_BRnM: Tensor
    weights: Tensor
    at_BRnk: Tensor | None


def _affinity(query_BnC: Tensor, keys_BGMC: Tensor, affinity: Affinity) -> Tensor:
    """As ``ops.attention.augmented`` without a copy of the keys."""
    scale = 1 / math.sqrt(query_BnC.shape[-1])
    if affinity == "dot":
        return (query_BnC * scale)[:, None] @ keys_BGMC.transpose(2, 3)
    if affinity != "l2":
        raise ValueError(f"affinity is 'dot' or 'l2', found {affinity!r}")
    square_BG1M = torch.linalg.vector_norm(keys_BGMC, dim=-1).square()[:, :, None]
    return ((2 * scale * query_BnC)[:, None] @ keys_BGMC.transpose(2, 3)).sub_(square_BG1M, alpha=scale)


def _hidden(visible_BOM: Tensor | None) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """What each object does not see, what no object sees, and which objects see something.

    An object (or a clip) that sees nothing is let see everything, because a softmax needs something to look
    at; its read and its counts are thrown away.
    """
    if visible_BOM is None:
        return None, None, None
    sees_BO = visible_BOM.any(-1)
    nowhere_B1M = ~visible_BOM.any(1, keepdim=True) & sees_BO.any(1)[:, None, None]
    return ~visible_BOM & sees_BO[..., None], nowhere_B1M, sees_BO


def _hide(affinity_BGnM: Tensor, hidden_BRM: Tensor | None) -> Tensor:
    if hidden_BRM is None:
        return affinity_BGnM
    return affinity_BGnM.masked_fill(hidden_BRM[:, :, None], -torch.inf)


def _weights(affinity_BRnM: Tensor, top_k: int | None) -> _Weights:
    if top_k is None or top_k >= affinity_BRnM.shape[-1]:
        return _Weights(affinity_BRnM, affinity_BRnM.softmax(-1), None)
    best_BRnk, at_BRnk = affinity_BRnM.topk(top_k, dim=-1)
    return _Weights(affinity_BRnM, best_BRnk.softmax(-1), at_BRnk)


def _read(weights: _Weights, values_BOMC: Tensor) -> Tensor:
    """(B, O, n, Cv)."""
    if weights.at_BRnk is not None:
        return gathered(weights.at_BRnk, weights.weights, values_BOMC)
    rows = weights.weights.shape[1]
    objects = [weights.weights[:, o % rows] @ values_BOMC[:, o] for o in range(values_BOMC.shape[1])]
    return torch.stack(objects, 1)


def _hits(weights: _Weights, k: int) -> Tensor:
    """How often each memory position is among the k best: int64 (B, R, M)."""
    affinity, at = weights.affinity_BRnM, weights.at_BRnk
    if at is None:
        at = affinity.topk(min(k, affinity.shape[-1]), dim=-1).indices
    seen = affinity.gather(-1, at) > -torch.inf
    count = torch.zeros_like(affinity[:, :, 0], dtype=torch.int64)
    return count.scatter_add_(-1, at.flatten(-2), seen.flatten(-2).long())


def _mass(weights: _Weights) -> Tensor:
    """Weights added over the query positions, (B, R, M), in a fixed order: the same bits each time."""
    dense = weights.weights
    if weights.at_BRnk is not None:
        dense = torch.zeros_like(weights.affinity_BRnM).scatter_(-1, weights.at_BRnk, dense)
    return dense.sum(-2)


def _over_rows(per_row_BRM: Tensor, counts_BO: Tensor | None) -> Tensor:
    """(B, M): added over the rows, without objects that see nothing."""
    if counts_BO is not None:
        per_row_BRM = per_row_BRM * counts_BO[..., None]
    return per_row_BRM.sum(1)
