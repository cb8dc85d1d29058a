"""How much a template tells that no other one tells: the score of the rules ``redundancy`` and ``learned_redundancy``.

Differs: STReMN's Eq. 1 compares a slot with the incoming frame over the whole image, so that it evicts the newest
copy each time, keeps the first ones for ever, and never drops a frame that is unlike everything. Here a slot is
compared with the other slot (the incoming template included) that is most like it, over the positions that the
object covers; and what is learned tells besides which templates are worth nothing.

Letters: B clips, O objects, K slots, N positions, C channels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from stremn.errors import InputError
from stremn.memory.state import MemoryState, Template, covered, tokens
from stremn.ops.similarity import normalised

NO_JUDGE = (
    "expected a network with a judge of templates for the rule 'learned_redundancy', found none: "
    "train one with the setting `imitation` of the stage finetune, or use the rule 'redundancy'"
)
UNSEEN = 0.5  # positions that count as found again in any case, so that a hidden object is redundant


def redundancy(state: MemoryState, template: Template, *, learned: bool) -> Tensor:
    """For each slot its similarity to the most similar other template, (B, O, K) in [−1, 1].

    Args:
        state: the slots.
        template: the incoming one.
        learned: compare by the network's ``judge`` of the values, and add how worthless it finds them; else compare
            read keys.
    """
    assert state.covers is not None  # of every rule that sees objects
    covers_BOKN = torch.cat([state.covers[..., 0], covered(template)[:, :, None]], 2)
    if not learned:
        both = [normalised(state.keys), normalised(tokens(template.key))[:, :, None]]
        keys_BOKNC = torch.cat([k.expand(*state.valid.shape[:2], -1, -1, -1) for k in both], 2)
        return most_alike(similarities_on_objects(keys_BOKNC, covers_BOKN), state.valid)
    if template.judge is None:
        raise InputError(NO_JUDGE)
    values_BOKNC = torch.cat([state.values, tokens(template.value)[:, :, None]], 2)
    alike_BOKK = similarities_on_objects(template.judge.keys(values_BOKNC), covers_BOKN)
    worthless_BOK = template.judge.worthless(state.values, state.covers[..., 0])
    return most_alike(alike_BOKK, state.valid) + worthless_BOK


def most_alike(alike_BOKK: Tensor, valid_BOK: Tensor) -> Tensor:
    """For each slot the similarity of the other template most like it, (B, O, K); the last template is incoming."""
    slots = valid_BOK.shape[-1]
    itself = torch.eye(slots + 1, dtype=torch.bool, device=alike_BOKK.device)
    held = F.pad(valid_BOK, (0, 1), value=True)
    return alike_BOKK.masked_fill(itself | ~held[:, :, None], -1).amax(-1)[..., :slots]


def similarities_on_objects(keys_BOKNC: Tensor, covers_BOKN: Tensor) -> Tensor:
    """How much of what a template (third axis) shows of the object is found in another (last axis), (B, O, K, K).

    Eq. 1 over the positions that the object covers, softly. Not symmetric: half an object is found in the whole
    one, and not the other way round.

    Args:
        keys_BOKNC: of length 1 along C.
        covers_BOKN: share of each position that the object covers, in [0, 1]. A template counts half a position
            more, one that every other has: where the object is hidden all are alike.
    """
    # positions that no template's object covers count nothing: leave them out
    count = max(1, int((covers_BOKN > 0).sum(-1).max()))
    cover_BOKP, at = covers_BOKN.topk(count, -1)
    own_BOKPC = keys_BOKNC.gather(3, at[..., None].expand(*at.shape, keys_BOKNC.shape[-1]))
    weights_BOKP = cover_BOKP / (covers_BOKN.sum(-1, keepdim=True) + UNSEEN)
    rest_BOK = 1 - weights_BOKP.sum(-1)
    rows = []
    for slot in range(keys_BOKNC.shape[2]):
        best_BOKP = (own_BOKPC[:, :, slot, None] @ keys_BOKNC.transpose(3, 4)).max(-1).values
        row_BOK = (best_BOKP * weights_BOKP[:, :, slot, None]).sum(-1) + rest_BOK[:, :, slot, None]
        rows.append(row_BOK)
    return torch.stack(rows, 2)
