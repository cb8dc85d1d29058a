"""How much a template tells that no other one tells: the score of the rules ``redundancy`` and ``learned_redundancy``.

Differs: STReMN's Eq. 1 compares a slot with the incoming frame over the whole image, so that it evicts the newest
copy each time, keeps the first ones for ever, and never drops a frame that is unlike everything. Here a slot is
compared with the other slot (the incoming template included) that is most like it, over the positions that the
object covers, and a learned number tells what the template is worth.

Letters: B clips, O objects, K slots, N positions, C channels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from stremn.memory.state import MemoryState, Template, covered, tokens
from stremn.ops.similarity import normalised

UNSEEN = 0.5  # positions that count as found again in any case, so that a hidden object is redundant


def redundancy(state: MemoryState, template: Template, learned: bool) -> Tensor:
    """For each slot its similarity to the most similar other template, (B, O, K) in [−1, 1].

    Args:
        state: the slots.
        template: the incoming one.
        learned: compare update keys, and add what the templates are worth (``Template.worth``, any real number);
            else compare read keys.
    """
    assert state.covers is not None  # of every rule that sees objects
    shape = state.frame_index.shape
    if learned:
        held, incoming = state.update_keys, normalised(tokens(template.update_key))
    else:
        held, incoming = normalised(state.keys), normalised(tokens(template.key))
    both = [maps.expand(shape[0], shape[1], -1, -1, -1) for maps in (held, incoming[:, :, None])]
    covers_BOKN = torch.cat([state.covers[..., 0], covered(template)[:, :, None]], 2)
    alike_BOKK = similarities_on_objects(torch.cat(both, 2), covers_BOKN)
    occupied = F.pad(state.valid, (0, 1), value=True)
    itself = torch.eye(shape[2] + 1, dtype=torch.bool, device=alike_BOKK.device)
    alike_BOKK = alike_BOKK.masked_fill(itself | ~occupied[:, :, None], -1)
    scores_BOK = alike_BOKK.amax(-1)[..., :-1]
    return scores_BOK + state.worths[..., 0, 0] if learned and state.worths is not None else scores_BOK


def similarities_on_objects(maps_BOKNC: Tensor, covers_BOKN: Tensor) -> Tensor:
    """Eq. 1 between all pairs of templates, over the positions that the object covers, both ways: (B, O, K, K).

    Args:
        maps_BOKNC: of length 1 along C.
        covers_BOKN: share of each position that the object covers, in [0, 1]. A template counts half a position
            more, one that every other has: where the object is hidden all are alike.
    """
    weights = covers_BOKN / (covers_BOKN.sum(-1, keepdim=True) + UNSEEN)
    rest = 1 - weights.sum(-1)
    rows = []
    for slot in range(maps_BOKNC.shape[2]):
        table = maps_BOKNC[:, :, slot, None] @ maps_BOKNC.transpose(
            3, 4
        )  # B O K N N: this slot's by the others'
        rows.append((table.amax(-1) * weights[:, :, slot, None]).sum(-1) + rest[:, :, slot, None])
    one_way = torch.stack(rows, 2)
    return (one_way + one_way.transpose(2, 3)) / 2
