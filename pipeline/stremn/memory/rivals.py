"""Rules of rivals for a fixed number of slots: RMem (CVPR 2024) and READMem (BMVC 2023).

Both offer a frame to the long-term slots every few frames and hold the latest frame besides. Here the slot of the
latest frame t − 1 is that short memory: when frame t arrives, either it is overwritten, or one of the others is
and t − 1 stays for good. Differs: free slots are filled first, one a frame, as with every rule of ``POLICIES``.

Letters: B clips, O objects, G key groups (1 or O), D rows of decisions (1 or O), S slots in use and a free one,
K slots in use, N positions.
"""

import torch
from torch import Tensor

from stremn.memory.incoming import Incoming
from stremn.memory.slot_rules import best
from stremn.memory.state import MemoryState, Template, tokens
from stremn.ops.attention import augmented
from stremn.ops.similarity import normalised

FRESHNESS, PATIENCE = 1.5, 8  # RMem: weight of the bonus, and updates before it falls
WORTH = 0.5  # READMem: least similarity to the annotated frame


def rmem(incoming: Incoming) -> Tensor:
    """RMem: the slot with the lowest upper confidence bound m + 1.5 √(ln Σn / (n + 8)) goes.

    m is the slot's share of the read on the objects, n the updates that it has lived; given masks stay and
    count as many as there are slots. Differs: m is the share of the newest read alone, where RMem adds a fifth of
    its mean over earlier ones, and there is no temporal position code.
    """
    held, slots = incoming.held, incoming.policy.slots or incoming.held.shape[-1]
    lived = (incoming.frame - held).clamp_min(0) // incoming.policy.every
    n = torch.where(incoming.given, slots, lived) * incoming.occupied
    bonus = (n.sum(-1, keepdim=True).clamp_min(1).log() / (n + PATIENCE)).sqrt()
    long_term = incoming.occupied & ~incoming.newest
    share = incoming.similarity("foreground") * long_term
    share = share / share.sum(-1, keepdim=True).clamp_min(1e-12)
    pool = incoming.evictable & ~incoming.newest
    return _offered(incoming, best(-(share + FRESHNESS * bonus), pool), pool.any(-1, keepdim=True))


def readmem(incoming: Incoming) -> Tensor:
    """READMem: the latest frame replaces the slot after which the templates differ most, if it makes them differ more.

    How much they differ is the absolute determinant of the matrix of their similarities.
    """
    without = incoming.similarity("determinant")
    pool = incoming.evictable & ~incoming.newest
    latest = (without * incoming.newest).amax(-1, keepdim=True)
    better = without.masked_fill(~pool, -1).amax(-1, keepdim=True) > latest
    return _offered(incoming, best(without, pool), better)


def _offered(incoming: Incoming, replaced: Tensor, wanted: Tensor) -> Tensor:
    """``replaced`` where the latest frame is one that is offered and wanted, else the latest frame's own slot."""
    latest = incoming.held.amax(-1, keepdim=True)
    spare = incoming.newest & incoming.evictable
    stays = (latest % incoming.policy.every == 0) & wanted
    fallback = torch.where(spare.any(-1, keepdim=True), spare, incoming.evictable)
    return torch.where(stays, replaced, best(incoming.held, fallback))


def foreground_shares(state: MemoryState, template: Template) -> Tensor:
    """How much of the read of a frame falls on each slot, weighted by the objects, (B, O, K), summing to 1.

    The frame is read by its memory key. Without ``template.foreground`` every position counts the same.
    """
    shape = state.frame_index.shape
    query, keys = augmented(tokens(template.key), state.keys.flatten(2, 3), template.affinity)
    affinity = (query @ keys.transpose(-1, -2)).unflatten(-1, (shape[2], -1))  # B G N K N
    hidden = ~(state.valid | ~state.valid.any(-1, keepdim=True))
    affinity = affinity.expand(-1, shape[1], -1, -1, -1).masked_fill(hidden[:, :, None, :, None], -torch.inf)
    shares_BONK = affinity.flatten(-2).softmax(-1).unflatten(-1, (shape[2], -1)).sum(-1)
    if template.foreground is not None:
        shares_BONK = shares_BONK * template.foreground.flatten(-2)[..., None]
    shares_BOK = shares_BONK.sum(2)
    return shares_BOK / shares_BOK.sum(-1, keepdim=True).clamp_min(1e-12)


def determinants_without(state: MemoryState) -> Tensor:
    """How much the templates differ when one slot goes: for each slot the determinant without it, (B, G, K).

    The templates with the latest in place of a slot are all but that slot, and without the latest all but it, so
    that one row tells every exchange. A latest template too unlike the first given one is worth nothing: ∞, it
    goes itself.
    """
    gram = similarities(state)
    slots = state.slots
    minors = []
    for slot in range(slots):
        others = [other for other in range(slots) if other != slot]
        minors.append(torch.linalg.det(gram[..., others, :][..., others]).abs())
    without = torch.stack(minors, -1)
    held = state.frame_index.amax(1)
    latest, first = held.argmax(-1), held.masked_fill(~state.given.any(1), 2**62).argmin(-1)
    clip = torch.arange(len(held), device=held.device)
    unlike = gram[clip, :, latest, first] < WORTH
    without[clip, :, latest] = without[clip, :, latest].masked_fill(unlike, torch.inf)
    return without


def similarities(state: MemoryState) -> Tensor:
    """Cosines between the key maps of all pairs of slots, (B, G, K, K), 1 on the diagonal.

    Before the second map is compared, each position of the first takes that of the second which is most like it.
    """
    keys = state.keys
    rows = []
    for slot in range(state.slots):
        first = keys[:, :, slot : slot + 1]
        at = (normalised(first) @ normalised(keys).transpose(-1, -2)).argmax(-1, keepdim=True)  # B G K N 1
        matched = keys.gather(3, at.expand(-1, -1, -1, -1, keys.shape[-1]))
        cosines = torch.cosine_similarity(first.flatten(-2), matched.flatten(-2), dim=-1)
        rows.append(cosines)
    return torch.stack(rows, -2)
