"""One interface of all memories: for training or inference, of slots or of single features."""

from typing import Protocol

import torch
from torch import Tensor

from stremn.memory.buffer import MemoryBuffer
from stremn.memory.feature_state import FeatureState
from stremn.memory.features import FeatureMemory
from stremn.memory.policy import Policy
from stremn.memory.state import MemoryState, Template
from stremn.memory.trace import Trace
from stremn.ops.attention import Affinity


class StepMemory(Protocol):
    """What one step asks of a memory, in training (``DifferentiableMemory``) as in inference.

    For each frame: ``read`` once if ``slots``; then ``write`` its template if it is ``due``, else ``skip``.
    """

    policy: Policy

    @property
    def state(self) -> MemoryState | FeatureState:
        """Views of what it holds; both kinds have ``slots``, ``size``, ``tensors()`` and ``bytes()``."""
        ...

    @property
    def slots(self) -> int:
        """Slots, or frames' worth of features, in use; 0: there is nothing to read."""
        ...

    def read(
        self,
        query_key_BChw: Tensor,
        *,
        affinity: Affinity = "dot",
        top_k: int | None = None,
        trace: Trace | None = None,
    ) -> Tensor:
        """Values at each position of a query frame, (B, O, Cv, h, w); see ``memory.read``."""
        ...

    def due(self, frame: int, given_BO: Tensor) -> bool:
        """Whether the rule would use a template of this frame, given which masks are given."""
        ...

    def skip(self, frame: int, trace: Trace | None = None) -> None:
        """Let a frame pass that is not due."""
        ...

    def write(
        self, template: Template, *, generator: torch.Generator | None = None, trace: Trace | None = None
    ) -> None:
        """Store a template, after removing what the rule decides."""
        ...


class Memory(StepMemory, Protocol):
    """What a stream asks besides. It changes in place; no gradient passes through it."""

    def add_objects(self, count: int) -> None:
        """Make room for objects that appear now; the memory holds nothing for them yet."""
        ...

    def forget(self, row: int) -> None:
        """Drop what is held for one object, by its position; the others keep all they have."""
        ...


def make_memory(
    policy: Policy, saved: dict[str, Tensor] | None = None, size: tuple[int, int] = (0, 0)
) -> Memory:
    """An empty memory for a rule, or one that goes on from saved tensors.

    Args:
        policy: the rule decides the kind: ``POLICIES[policy.name].unit``.
        saved: ``memory.state.tensors()`` of a memory of the same rule; None or empty: nothing.
        size: its ``memory.state.size``.
    """
    if policy.entry.unit == "feature":
        return FeatureMemory(policy, saved, size)
    return MemoryBuffer(policy, MemoryState(**saved, size=size) if saved else None)
