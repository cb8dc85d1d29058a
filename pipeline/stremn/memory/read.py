"""Reading the memory with a query frame (STReMN Eq. 5)."""

import torch
from torch import Tensor

from stremn.memory.state import MemoryState, tokens
from stremn.memory.trace import Trace
from stremn.ops.affinity_regularisers import AffinityRegulariser
from stremn.ops.attention import Affinity, space_time_read


def read(
    state: MemoryState,
    query_key_BChw: Tensor,
    *,
    affinity: Affinity = "dot",
    top_k: int | None = None,
    trace: Trace | None = None,
    regulariser: AffinityRegulariser | None = None,
) -> Tensor:
    """Values gathered from all slots at each position of the query frame.

    Args:
        state: a memory with at least one slot.
        query_key_BChw: (B, Ck, h, w).
        affinity, top_k: see ``ops.attention.space_time_read``.
        trace: records the read mass, the share of the attention that each slot received.
        regulariser: of the affinity, in training.

    Returns:
        (B, O, Cv, h, w). An object that no slot holds yet reads as zeros.
    """
    query_BNC = tokens(query_key_BChw)
    valid = state.valid
    everything = bool(valid.all())
    values = state.values.flatten(2, 3)
    if trace is not None:
        values = torch.cat([values, _slot_indicator(state)], -1)
    keys = state.keys.flatten(2, 3)
    visible = None if everything else _positions(valid | ~valid.any(-1, keepdim=True), state)
    bias = None
    if regulariser is not None:
        shown = None if state.covers is None else state.covers.flatten(2) > 0.5
        bias = regulariser.bias(query_BNC, keys, affinity=affinity, valid_BOM=visible, object_BOM=shown)
    read_BONC = space_time_read(
        query_BNC, keys, values, affinity=affinity, top_k=top_k, valid_BOM=visible, bias=bias
    )
    width = state.values.shape[-1]
    if trace is not None:
        trace.read(read_BONC[..., width:].mean(2), valid)
    read_BONC = read_BONC[..., :width]
    if not everything:
        read_BONC = read_BONC * valid.any(-1)[..., None, None]
    return read_BONC.transpose(-1, -2).unflatten(-1, query_key_BChw.shape[-2:])


def _positions(valid_BOK: Tensor, state: MemoryState) -> Tensor:
    return valid_BOK[..., None].expand(*valid_BOK.shape, state.keys.shape[3]).flatten(2, 3)


def _slot_indicator(state: MemoryState) -> Tensor:
    """(B, O, K·N, K), 1 in the column of the slot: read like a value, it gives the attention of each slot."""
    batch, objects, slots, positions, _ = state.values.shape
    eye = torch.eye(slots, device=state.values.device, dtype=state.values.dtype)
    return eye.repeat_interleave(positions, 0).expand(batch, objects, -1, -1)
