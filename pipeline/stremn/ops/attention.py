"""The space-time read (STReMN Eq. 5, STM Sec. 3.2).

Letters: B clips, G groups of keys (1: one key map for all objects, O: one for each object),
O objects, N query positions, M memory positions (all slots of one clip, one after the other), C channels.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Affinity = Literal["dot", "l2"]
QUERY_CHUNK = 1024  # query positions at a time where the affinity has to be materialised


def space_time_read(
    query_BNC: Tensor,
    keys_BGMC: Tensor,
    values_BOMC: Tensor,
    *,
    affinity: Affinity = "dot",
    top_k: int | None = None,
    valid_BOM: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Read, for each query position, the values at the memory positions whose keys are alike.

    Args:
        query_BNC: query keys (B, N, Ck).
        keys_BGMC: memory keys (B, G, M, Ck), G = 1 or O.
        values_BOMC: memory values (B, O, M, Cv).
        affinity: ``dot``: k·q / √Ck (STReMN Eq. 5 with the scale of STM's release);
            ``l2``: −|k − q|² / √Ck up to a constant of the query (STCN).
        top_k: keep the ``top_k`` largest affinities of each query position (STCN: 20).
        valid_BOM: boolean; False hides a memory position from an object. Every object needs one True.
        bias: added to the affinity, (B, 1 or O, 1 or N, M), see ``ops.affinity_regularisers``.

    Returns:
        (B, O, N, Cv), each position a convex combination of that object's valid memory values.

    Without ``top_k`` the affinity (N × M) is left to PyTorch's fused attention, which does not store it.
    """
    query_BNC, keys_BGMC = augmented(query_BNC, keys_BGMC, affinity)
    objects = values_BOMC.shape[1]
    if top_k is not None and top_k < keys_BGMC.shape[2]:
        return _top_k_read(query_BNC, keys_BGMC, values_BOMC, top_k, valid_BOM, bias)
    width = _common_width(query_BNC.shape[-1], values_BOMC.shape[-1], query_BNC.device)
    read_BONC = F.scaled_dot_product_attention(
        _padded(query_BNC, width)[:, None].expand(-1, objects, -1, -1),
        _padded(keys_BGMC, width).expand(-1, objects, -1, -1),
        _padded(values_BOMC, width),
        attn_mask=_mask(valid_BOM, bias),
        scale=1.0,
    )
    return read_BONC[..., : values_BOMC.shape[-1]]


def _mask(valid_BOM: Tensor | None, bias: Tensor | None) -> Tensor | None:
    """What PyTorch's attention takes: nothing, a boolean, or numbers to add."""
    if bias is None:
        return None if valid_BOM is None else valid_BOM[:, :, None]
    return bias if valid_BOM is None else torch.where(valid_BOM[:, :, None], bias, -torch.inf)


def augmented(query_BNC: Tensor, keys_BGMC: Tensor, affinity: Affinity) -> tuple[Tensor, Tensor]:
    """Query and keys whose plain inner product is the affinity, up to a constant of the query.

    ``−|k − q|² = 2 k·q − |k|² − |q|²``, and ``|q|²`` is the same for all memory positions: one more
    channel, 1 for the query and ``−|k|²`` for the key, turns the distance into an inner product.
    """
    scale = 1.0 / math.sqrt(query_BNC.shape[-1])
    if affinity == "dot":
        return query_BNC * scale, keys_BGMC
    if affinity != "l2":
        raise ValueError(f"affinity is 'dot' or 'l2', found {affinity!r}")
    query = torch.cat([2 * scale * query_BNC, query_BNC.new_full((*query_BNC.shape[:-1], 1), scale)], -1)
    return query, torch.cat([keys_BGMC, -keys_BGMC.square().sum(-1, keepdim=True)], -1)


def _common_width(key_width: int, value_width: int, device: torch.device) -> int | None:
    """Width to which queries, keys and values are zero-padded so that the CPU kernel can fuse the read."""
    return None if device.type == "cuda" and key_width % 8 == 0 else -(-max(key_width, value_width) // 8) * 8


def _padded(x: Tensor, width: int | None) -> Tensor:
    return x if width is None or x.shape[-1] == width else F.pad(x, (0, width - x.shape[-1]))


def _top_k_read(
    query_BNC: Tensor,
    keys_BGMC: Tensor,
    values_BOMC: Tensor,
    top_k: int,
    valid_BOM: Tensor | None,
    bias: Tensor | None = None,
) -> Tensor:
    keys_BGCM = keys_BGMC.transpose(2, 3)
    chunks = []
    for start in range(0, query_BNC.shape[1], QUERY_CHUNK):
        rows = slice(start, start + QUERY_CHUNK)
        affinity_BGNM = query_BNC[:, None, rows] @ keys_BGCM
        if bias is not None:
            affinity_BGNM = affinity_BGNM + (bias if bias.shape[2] == 1 else bias[:, :, rows])
        if valid_BOM is not None:
            affinity_BGNM = affinity_BGNM.masked_fill(~valid_BOM[:, :, None], -torch.inf)
        best_BGNk, at_BGNk = affinity_BGNM.topk(top_k, dim=-1)
        if not torch.is_grad_enabled():
            chunks.append(gathered(at_BGNk, best_BGNk.softmax(-1), values_BOMC))
            continue
        weights_BGNM = torch.zeros_like(affinity_BGNM).scatter(-1, at_BGNk, best_BGNk.softmax(-1))
        chunks.append(weights_BGNM @ values_BOMC)
    return torch.cat(chunks, 2)


def gathered(at_BRnk: Tensor, weights_BRnk: Tensor, values_BOMC: Tensor) -> Tensor:
    """Sum of k weighted values for each of n query positions, (B, O, n, Cv): k / M of a product's work.

    R is 1 (the same positions for all objects) or O. Without gradients.
    """
    rows = at_BRnk.shape[1]
    return torch.stack(
        [
            torch.stack(
                [
                    F.embedding_bag(
                        at_Rnk[o % rows], values_MC, per_sample_weights=w_Rnk[o % rows], mode="sum"
                    )
                    for o, values_MC in enumerate(values_OMC)
                ]
            )
            for at_Rnk, w_Rnk, values_OMC in zip(
                at_BRnk, weights_BRnk.to(values_BOMC.dtype), values_BOMC, strict=True
            )
        ]
    )
