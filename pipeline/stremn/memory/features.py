"""Feature-level memory (AMM Sec. III-D): the unit is one position of a frame, and their number is fixed.

A frame is written every ``policy.every`` frames, and wherever a mask is given; the entries that the rule
values least make room for it. Nothing is merged or updated when a frame is added.

Letters: B clips, O objects, G key groups (1 or O), M entries, N positions of a frame, C channels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from stremn.memory.feature_rules import Entries
from stremn.memory.feature_state import FeatureState, reserved, template_entries
from stremn.memory.policy import Policy
from stremn.memory.state import EMPTY, Template, tokens
from stremn.memory.trace import Trace
from stremn.ops.attention import Affinity
from stremn.ops.counted_attention import counted_read
from stremn.ops.similarity import MAX_ELEMENTS, normalised

ANY, NEWEST, GIVEN, OLDEST_GIVEN = 1, 2, 3, 4  # removed in this order; 0 is free


class FeatureMemory:
    """At most ``policy.slots`` frames' worth of features, changed in place; no gradient passes through it.

    The counters are the entries' own and shared by all objects. What is read is counted: read each frame
    once.

    Args:
        policy: a rule with ``unit="feature"``.
        saved: tensors of a ``FeatureState`` to go on with; None: empty.
        size: (h, w) of ``saved``.
    """

    def __init__(
        self, policy: Policy, saved: dict[str, Tensor] | None = None, size: tuple[int, int] = (0, 0)
    ) -> None:
        self.policy = policy
        self._room: dict[str, Tensor] = {}
        self._used, self._size = 0, size
        if saved:
            self._used = saved["frame_index"].shape[2]
            self._room = reserved(saved, self._capacity)

    @property
    def _capacity(self) -> int:
        return (self.policy.slots or 0) * self._size[0] * self._size[1]

    @property
    def state(self) -> FeatureState:
        """Views of the entries in use, no copy. The next ``read`` or ``write`` may change what they show."""
        if not self._used:
            return FeatureState.empty()
        return FeatureState(**{k: v[:, :, : self._used] for k, v in self._room.items()}, size=self._size)

    @property
    def slots(self) -> int:
        """Frames' worth of entries in use."""
        return self.state.slots

    @torch.no_grad()
    def read(
        self,
        query_key_BChw: Tensor,
        *,
        affinity: Affinity = "dot",
        top_k: int | None = None,
        trace: Trace | None = None,
    ) -> Tensor:
        """Values gathered from all entries, (B, O, Cv, h, w); every entry's use is added to its index.

        An object that sees no entry reads as zeros. See ``memory.read`` for the arguments.
        """
        state = self.state
        found = counted_read(
            tokens(query_key_BChw),
            state.keys,
            state.values,
            affinity=affinity,
            top_k=top_k,
            visible_BOM=None if bool(state.visible.all()) else state.visible,
            index=self.policy.index,
            index_k=self.policy.index_k,
            mass=trace is not None,
        )
        state.index.add_(found.index[:, None])
        if trace is not None and found.mass is not None:
            trace.read_entries(found.mass)
        return found.read.transpose(-1, -2).unflatten(-1, query_key_BChw.shape[-2:])

    def due(self, frame: int, given_BO: Tensor) -> bool:
        """Whether ``write`` would store this frame for any clip; if not, call ``skip``: no need to encode it."""
        return not self._used or self.policy.due(frame) or bool(given_BO.any())

    def skip(self, frame: int, trace: Trace | None = None) -> None:
        """Let a frame pass that is not due."""
        if trace is not None and self._room:
            held_BM = self.state.frame_index[:, 0]
            trace.wrote_entries(frame, held_BM, held_BM, self._tiers()[:, : self._used] == ANY)

    @torch.no_grad()
    def write(
        self, template: Template, *, generator: torch.Generator | None = None, trace: Trace | None = None
    ) -> None:
        """Put all features of a template where there is room, after removing as many as are needed."""
        stored_B = self._stored(template)
        if not bool(stored_B.any()):
            self.skip(template.frame, trace)
            return
        # the template's N features as entries, and tensors that have room for them
        new = template_entries(template, self.policy.entry.update_keys)
        self._make_room(template, new)
        before_BM = self._room["frame_index"][:, 0].clone() if trace is not None else None
        # the N places that are written over: the first in the order of removal
        tier_BM = self._tiers()
        at_BN = self._removal_order(template, tier_BM)[:, : new["position"].shape[2]]
        # for the trace: what could have been removed is all of the tiers that had to be touched
        evictable_BM = tier_BM <= tier_BM.gather(-1, at_BN).amax(-1, keepdim=True).clamp_min(ANY)
        # features go to these places from left to right, so that the memory is the same bits every time
        at_BN = at_BN.sort(-1).values
        # only clips that store this frame are written; the others keep what they have
        clips = stored_B.nonzero().flatten().tolist()
        for clip in clips:
            for name, tensor in self._room.items():
                tensor[clip].index_copy_(1, at_BN[clip], new[name][clip])
        used, self._used = self._used, max(self._used, int(at_BN[clips].max()) + 1)
        if trace is not None and before_BM is not None:
            after_BM = self._room["frame_index"][:, 0]
            parts = (before_BM, after_BM, evictable_BM)
            trace.wrote_entries(template.frame, *(t[:, : max(used, self._used)] for t in parts))

    def add_objects(self, count: int) -> None:
        """Make room for objects that appear now; they see none of the entries so far."""
        for name in ("values", "update_keys", "visible", "keys"):
            if self._room and (name != "keys" or self._room["keys"].shape[1] > 1):
                self._room[name] = _with_rows(self._room[name], count)

    @torch.no_grad()
    def forget(self, row: int) -> None:
        """Hide all entries from one object; they stay for the others."""
        if self._room:
            self._room["visible"][:, row] = False

    def _stored(self, template: Template) -> Tensor:
        """Boolean (B,): clips that store this frame."""
        present = template.present
        if not self._room:
            return present.any(1)
        empty = (self._room["frame_index"][:, 0] == EMPTY).all(-1)
        due = (template.given & present).any(1) | self.policy.due(template.frame)
        return (empty | due) & present.any(1)

    def _make_room(self, template: Template, new: dict[str, Tensor]) -> None:
        if not self._room:
            self._size = (template.value.shape[-2], template.value.shape[-1])
            self._room = reserved({name: tensor[:, :, :0] for name, tensor in new.items()}, self._capacity)
        missing = new["keys"].shape[1] - self._room["keys"].shape[1]
        if missing:  # one object so far, and keys of each object's own
            self._room["keys"] = _with_rows(self._room["keys"], missing)

    def _tiers(self) -> Tensor:
        """Int64 (B, M): free entries (0) go first, then ``ANY``, and what is protected only if it must."""
        held, given = self._room["frame_index"][:, 0], self._room["given"][:, 0]
        free = held == EMPTY
        tier = torch.full_like(held, ANY)
        if self.policy.protect_previous:
            tier[held == held.amax(-1, keepdim=True)] = NEWEST
        if self.policy.protect_first:
            tier[given] = GIVEN
            tier[given & (held == held.masked_fill(free, 2**62).amin(-1, keepdim=True))] = OLDEST_GIVEN
        return tier.masked_fill(free, 0)

    def _removal_order(self, template: Template, tier_BM: Tensor) -> Tensor:
        """Int64 (B, M): all entries, the first to be removed first."""
        held_BM, position_BM = self._room["frame_index"][:, 0], self._room["position"][:, 0]
        positions = self._size[0] * self._size[1]
        # the last criterion: the older frame first, and in a frame row by row
        order_BM = (held_BM * positions + position_BM).argsort(dim=-1, stable=True)
        # the first criterion is the tier; the rule's score is asked only where free places do not suffice
        keys = [tier_BM]
        if bool(((tier_BM == 0).sum(-1) < positions).any()):
            entries = Entries(
                template.frame,
                held_BM,
                self._room["index"][:, 0],
                lambda which: self._similarity(template, which),
            )
            keys = [self.policy(entries), tier_BM]
        # stable sorts from the last criterion to the first, each keeping the order before it among equals
        for key in keys:
            order_BM = order_BM.gather(-1, key.gather(-1, order_BM).argsort(dim=-1, stable=True))
        return order_BM

    def _similarity(self, template: Template, which: str) -> Tensor:
        """(B, M), see ``Entries.similarity``."""
        state = self.state
        if which == "update_keys":
            query, entries = normalised(tokens(template.update_query)), state.update_keys
            query = query[:, None] if query.dim() == 3 else query  # (B, 1 or O, N, Cu)
        else:
            query, entries = normalised(tokens(template.key)), normalised(state.keys)
        rows = max(1, MAX_ELEMENTS // (entries.shape[0] * entries.shape[1] * entries.shape[2]))
        parts = [(part @ entries.transpose(2, 3)).amax(-2) for part in query.split(rows, 2)]
        best_BOM = torch.stack(parts).amax(0).expand_as(state.visible)
        mean = (best_BOM * state.visible).sum(1) / state.visible.sum(1).clamp_min(1)
        return F.pad(mean, (0, self._capacity - self._used))


def _with_rows(tensor: Tensor, count: int) -> Tensor:
    return torch.cat([tensor, tensor.new_zeros(tensor.shape[0], count, *tensor.shape[2:])], 1)
