"""The fast path for inference: the same memory written in place (tested equal to ``write``).

The slots live in tensors with spare room; a write copies one template into one slot. Only rules that
grow ever reallocate, and then double, so that the memory is not copied per frame.
"""

import torch
from torch import Tensor

from stremn.memory.fusion import fused_slots, wanted
from stremn.memory.policy import Policy
from stremn.memory.read import read
from stremn.memory.state import EMPTY, MemoryState, Template
from stremn.memory.trace import Trace
from stremn.memory.write import decide, let_pass, rows_of
from stremn.ops.attention import Affinity


class MemoryBuffer:
    """A memory that changes in place. Not for training: no gradient passes through it.

    Args:
        policy: the update rule.
        state: what the memory starts with; empty by default.
    """

    def __init__(self, policy: Policy, state: MemoryState | None = None) -> None:
        self.policy = policy
        self._room: dict[str, Tensor] = {}
        self._used = 0
        self._size = (0, 0)
        if state is not None and state.slots:
            self._reserve(max(policy.slots or 0, state.slots), state.tensors())
            self._used, self._size = state.slots, state.size

    @property
    def state(self) -> MemoryState:
        """Views of the slots in use, no copy. The next ``write`` may change what they show."""
        if not self._used:
            return MemoryState.empty()
        return MemoryState(**{k: v[:, :, : self._used] for k, v in self._room.items()}, size=self._size)

    @property
    def slots(self) -> int:
        """Slots in use."""
        return self._used

    def read(
        self,
        query_key_BChw: Tensor,
        *,
        affinity: Affinity = "dot",
        top_k: int | None = None,
        trace: Trace | None = None,
    ) -> Tensor:
        """``memory.read`` of the state."""
        return read(self.state, query_key_BChw, affinity=affinity, top_k=top_k, trace=trace)

    def due(self, frame: int, given_BO: Tensor) -> bool:
        """False if the rule stores only every N-th frame and this is none; then call ``skip``."""
        return not self._used or self.policy.due(frame) or bool(given_BO.any())

    def skip(self, frame: int, trace: Trace | None = None) -> None:
        """Let a frame pass that is not due."""
        let_pass(self.state, frame, self.policy, trace)

    @torch.no_grad()
    def write(
        self, template: Template, *, generator: torch.Generator | None = None, trace: Trace | None = None
    ) -> None:
        """Put a template into the slot that the policy chooses, arg max without noise."""
        weights_BOS = decide(self.state, template, self.policy, generator=generator, trace=trace)
        fusion = wanted(self.policy, template)
        fused = None if fusion is None else fused_slots(self.state, weights_BOS, self.policy, fusion)
        if fused is not None:
            for name, tensor in fused.tensors.items():
                self._room[name][fused.where] = tensor
        new = rows_of(self.state, template, self.policy)
        new["frame_index"] = torch.where(template.present, template.frame, EMPTY)
        new["given"] = template.given & template.present
        stored, slot = weights_BOS.max(-1)
        if not bool(stored.any()):
            return
        self._used = max(self._used, int(torch.where(stored > 0, slot, -1).max()) + 1)
        if not self._room or self._used > self._room["frame_index"].shape[2]:
            old = dict(self._room) or {k: v[:, :, None][:, :, :0] for k, v in new.items()}
            self._reserve(max(self.policy.slots or 0, 2 * (self._used - 1), 2), old)
        self._size = (template.value.shape[-2], template.value.shape[-1])
        missing = new["keys"].shape[1] - self._room["keys"].shape[1]
        if missing > 0:  # there was one object, and keys are each object's own
            keys = self._room["keys"]
            self._room["keys"] = torch.cat([keys, keys[:, :1].expand(-1, missing, -1, -1, -1)], 1)
        clip, row = (stored > 0).nonzero(as_tuple=True)
        for name, tensor in self._room.items():
            groups = row < tensor.shape[1]  # keys shared by all objects have one row
            tensor[clip[groups], row[groups], slot[clip, row][groups]] = new[name][clip[groups], row[groups]]

    def add_objects(self, count: int) -> None:
        """Make room for objects that appear now; the slots hold nothing for them yet."""
        if not self._room:
            return
        for name, tensor in self._room.items():
            if name == "keys" and tensor.shape[1] == 1 and not self.policy.per_object:
                continue
            fill = EMPTY if name == "frame_index" else 0
            extra = tensor.new_full((tensor.shape[0], count, *tensor.shape[2:]), fill)
            if name == "keys":  # per-object copies of an image key are the same for every object
                extra = tensor[:, :1].expand_as(extra)
            self._room[name] = torch.cat([tensor, extra], 1)

    @torch.no_grad()
    def forget(self, row: int) -> None:
        """Drop what the slots hold for one object; a slot that held nothing else is free again."""
        if self._room:
            self._room["frame_index"][:, row] = EMPTY
            self._room["given"][:, row] = False

    def _reserve(self, capacity: int, old: dict[str, Tensor]) -> None:
        for name, tensor in old.items():
            fill = EMPTY if name == "frame_index" else 0
            room = tensor.new_full((*tensor.shape[:2], capacity, *tensor.shape[3:]), fill)
            room[:, :, : tensor.shape[2]] = tensor
            self._room[name] = room
