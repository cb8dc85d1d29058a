"""How much a template tells that no other one tells: the score of the rules ``redundancy`` and ``learned_redundancy``.

Differs: STReMN's Eq. 1 compares a slot with the incoming frame over the whole image, so that it evicts the newest
copy each time, keeps the first ones for ever, and never drops a frame that is unlike everything. Here a slot is
compared with the other slot (the incoming template included) that is most like it, where they show the object.
The learned rule asks besides whether the frames just before a template showed the same look: a flash, a blur or an
object that turns is unlike everything, and tells nothing of what comes back.

Letters: B clips, O objects, K slots, N positions, C channels, E channels of a look.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from stremn.errors import InputError
from stremn.memory.state import Judge, MemoryState, Template, covered, tokens
from stremn.ops.similarity import normalised

NO_JUDGE = (
    "expected a network with a judge of looks for the rule 'learned_redundancy', found none: "
    "train one with the setting `judge` of the stage finetune, or use the rule 'redundancy'"
)
UNSEEN = 0.5  # positions that count as found again in any case, so that a hidden object is redundant
BEFORE = 5  # frames before a template whose looks it remembers


def redundancy(state: MemoryState, template: Template) -> Tensor:
    """For each slot its similarity to the most similar other template by the read keys, (B, O, K) in [−1, 1].

    Args:
        state: the slots.
        template: the incoming one.
    """
    assert state.covers is not None  # of every rule that sees objects
    covers_BOKN = torch.cat([state.covers[..., 0], covered(template)[:, :, None]], 2)
    both = [normalised(state.keys), normalised(tokens(template.key))[:, :, None]]
    keys_BOKNC = torch.cat([k.expand(*state.valid.shape[:2], -1, -1, -1) for k in both], 2)
    return most_alike(similarities_on_objects(keys_BOKNC, covers_BOKN), state.valid)


def learned_redundancy(state: MemoryState, template: Template) -> Tensor:
    """For each slot how likely another template shows the same look, and that the frames before it did not: (B, O, K).

    In [0, 2]. The first of a video has nothing before it, which counts as the same look.

    Raises:
        InputError: the network has no judge.
    """
    assert state.looks is not None  # of every rule that asks the judge
    judge = judge_of(template)
    looks_BOKAE = torch.cat([state.looks, looks(state, template)[:, :, None]], 2)
    own_BOKE = looks_BOKAE[..., 0, :]
    alone_BOK = 1 - judge.same(own_BOKE[..., None, :], looks_BOKAE[..., 1:, :])[..., 0, :].mean(-1)
    return most_alike(judge.same(own_BOKE, own_BOKE), state.valid) + alone_BOK[..., :-1]


def looks(state: MemoryState, template: Template) -> Tensor:
    """The look of a template, then those of the frames before it, latest first: (B, O, 1 + BEFORE, E).

    Of frames that were never seen: its own.
    """
    keys = tokens(template.key).expand(*template.present.shape, -1, -1)
    own_BO1E = judge_of(template).look(keys, covered(template))[:, :, None]
    unknown = own_BO1E.expand(-1, -1, BEFORE, -1)
    if state.looks is None:
        return torch.cat([own_BO1E, unknown], 2)
    latest_BO = state.frame_index.argmax(-1)
    places = latest_BO[..., None, None, None].expand(-1, -1, 1, *state.looks.shape[3:])
    before = state.looks.gather(2, places)[:, :, 0, :BEFORE]
    seen = state.valid.any(-1)[..., None, None]
    return torch.cat([own_BO1E, torch.where(seen, before, unknown)], 2)


def judge_of(template: Template) -> Judge:
    """The network's judge. Raises InputError when it has none."""
    if template.judge is None:
        raise InputError(NO_JUDGE)
    return template.judge


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
