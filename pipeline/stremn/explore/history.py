"""The memory at every frame of a run, in little room: what is needed to look back and to start again.

A template never changes once it is written, so each is kept once, and for every frame only which of them
were in the slots. Where even that is too much, only every second, fourth, … frame is kept; the run is
repeated from there.

Letters: K slots.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from stremn.memory import Memory, MemoryState, Policy, make_memory

BUDGET = 2**30  # bytes
Column = tuple[int, ...]  # the frame of a slot for each object: with it a template is named


@dataclass(frozen=True)
class Moment:
    """The memory before a frame arrives: slots as names of templates, or (single features) all tensors."""

    columns: tuple[Column, ...]
    whole: dict[str, Tensor]
    size: tuple[int, int]
    random: Tensor

    def bytes(self) -> int:
        """Of the tensors that are this moment's own."""
        return sum(t.numel() * t.element_size() for t in self.whole.values())


class History:
    """The memory before each frame.

    Args:
        budget: bytes that the templates may take together.
    """

    def __init__(self, budget: int = BUDGET) -> None:
        self.budget = budget
        self.spacing = 1
        self._moments: dict[int, Moment] = {}
        self._templates: dict[Column, dict[str, Tensor]] = {}
        self._bytes = 0

    def keep(self, frame: int, memory: Memory, generator: torch.Generator) -> None:
        """Keep the memory as it is before ``frame`` arrives; the first of all is never given up."""
        if frame % self.spacing and self._moments:
            return
        state, random = memory.state, generator.get_state()
        last = next(reversed(self._moments.values()), None)
        if last is not None and torch.equal(last.random, random):
            random = last.random
        if memory.slots and not isinstance(state, MemoryState):
            moment = Moment((), {k: t.clone() for k, t in state.tensors().items()}, state.size, random)
            self._bytes += moment.bytes()
        else:
            columns = _columns(state) if isinstance(state, MemoryState) and memory.slots else ()
            for slot, column in enumerate(columns):
                if column not in self._templates:
                    self._add(column, {k: t[:, :, slot].clone() for k, t in state.tensors().items()})
            moment = Moment(columns, {}, state.size, random)
        self._moments[frame] = moment
        while self._bytes > self.budget and self.spacing < 2**20 and len(self._moments) > 2:
            self._thin()

    def nearest(self, frame: int) -> int:
        """The last frame up to ``frame`` whose memory is kept."""
        return max(kept for kept in self._moments if kept <= frame)

    def restore(self, frame: int, policy: Policy, generator: torch.Generator) -> Memory:
        """The memory before a kept frame, as one that goes on; the generator is set to its state then."""
        moment = self._moments[frame]
        generator.set_state(moment.random)
        if moment.whole:
            return make_memory(policy, {k: t.clone() for k, t in moment.whole.items()}, moment.size)
        return make_memory(policy, self._stacked(moment.columns), moment.size)

    def template(self, frame: int, objects: int) -> dict[str, Tensor] | None:
        """The template of a frame as a slot held it for that many objects; None: not kept."""
        found = [c for c in self._templates if len(c) == objects and max(c) == frame]
        return self._templates[found[0]] if found else None

    def _add(self, column: Column, template: dict[str, Tensor]) -> None:
        self._templates[column] = template
        self._bytes += sum(t.numel() * t.element_size() for t in template.values())

    def _stacked(self, columns: tuple[Column, ...]) -> dict[str, Tensor] | None:
        if not columns:
            return None
        parts = [self._templates[column] for column in columns]
        return {name: torch.stack([p[name] for p in parts], 2) for name in parts[0]}

    def _thin(self) -> None:
        self.spacing *= 2
        first = min(self._moments)
        self._moments = {f: m for f, m in self._moments.items() if f % self.spacing == 0 or f == first}
        needed = {c for m in self._moments.values() for c in m.columns}
        templates, self._templates = self._templates, {}
        self._bytes = sum(m.bytes() for m in self._moments.values())
        for column in needed:
            self._add(column, templates[column])


def _columns(state: MemoryState) -> tuple[Column, ...]:
    return tuple(tuple(column) for column in state.frame_index[0].T.tolist())
