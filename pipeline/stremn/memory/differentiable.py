"""The memory for training: a value that every write replaces, so that gradients flow through it."""

import torch
from torch import Tensor

from stremn.memory.policy import Policy
from stremn.memory.read import read
from stremn.memory.state import MemoryState, Template
from stremn.memory.trace import Trace
from stremn.memory.write import let_pass, write
from stremn.ops.affinity_regularisers import AffinityRegulariser
from stremn.ops.attention import Affinity


class DifferentiableMemory:
    """Slots as a value; see ``memory.Memory`` for what its methods mean.

    Args:
        policy: the update rule, one on slots.
        noise: Gumbel noise in the learned rule.
        regulariser: of the affinity, in every read.

    Attributes:
        state: the slots; an earlier state stays as it was.
    """

    def __init__(
        self, policy: Policy, *, noise: bool = False, regulariser: AffinityRegulariser | None = None
    ) -> None:
        self.policy, self.noise, self.regulariser = policy, noise, regulariser
        self.state = MemoryState.empty()

    @property
    def slots(self) -> int:
        """Slots in use."""
        return self.state.slots

    def read(
        self,
        query_key_BChw: Tensor,
        *,
        affinity: Affinity = "dot",
        top_k: int | None = None,
        trace: Trace | None = None,
    ) -> Tensor:
        """``memory.read`` of the state."""
        return read(
            self.state,
            query_key_BChw,
            affinity=affinity,
            top_k=top_k,
            trace=trace,
            regulariser=self.regulariser,
        )

    def due(self, frame: int, given_BO: Tensor) -> bool:
        """Always: whatever a training step does, it does in every frame."""
        return True

    def skip(self, frame: int, trace: Trace | None = None) -> None:
        """Let a frame pass."""
        let_pass(self.state, frame, self.policy, trace)

    def write(
        self, template: Template, *, generator: torch.Generator | None = None, trace: Trace | None = None
    ) -> None:
        """``memory.write`` into the state."""
        self.state = write(
            self.state, template, self.policy, generator=generator, noise=self.noise, trace=trace
        )
