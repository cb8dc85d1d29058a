"""STReMN's memory of frame stacks in video prediction (STReMN Sec. 4.2).

The stack of S consecutive frames that ends at frame t asks the memory of earlier stacks for frame t + 1;
then its own template is written. Only complete stacks are kept. A query before the first complete stack
has been written (fewer than S + 1 frames) reads a memory of its own template alone, and reaches back
before the clip's beginning by repeating the first frame.

Letters: B clips, T frames, S frames of a stack, C channels, H W pixels, h w feature map.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from stremn.memory import (
    DifferentiableMemory,
    FeatureState,
    MemoryState,
    Policy,
    StepMemory,
    Template,
    Trace,
    make_memory,
    make_policy,
)
from stremn.ops.attention import Affinity


@dataclass(frozen=True)
class StackFeatures:
    """What the shared encoder says of a stack; the same features serve as query and as memory.

    Attributes:
        feature: (B, D, h, w).
        last: the stack's latest frame (B, C, H, W) in [0, 1].
        skips: finer maps, finest first; empty without ``skips``.
    """

    feature: Tensor
    last: Tensor
    skips: tuple[Tensor, ...] = ()

    def __getitem__(self, rows: Tensor) -> "StackFeatures":
        """Some stacks of the batch."""
        return StackFeatures(self.feature[rows], self.last[rows], tuple(s[rows] for s in self.skips))


class StackNetwork(Protocol):
    """What the memory of stacks asks of a network; see ``models.predictor.VideoPredictor``."""

    stack: int
    affinity: Affinity
    top_k: int | None
    read_memory: bool
    query_key: nn.Conv2d
    query_update: nn.Conv2d
    memory_key: nn.Conv2d
    memory_value: nn.Conv2d
    memory_update: nn.Conv2d

    def encode(self, stacks: Tensor) -> StackFeatures:
        """Features of stacks (B, S·C, H, W)."""
        ...

    def decode(self, query: StackFeatures, read: Tensor) -> Tensor:
        """The next frame (B, C, H, W) from the read (B, Cv, h, w)."""
        ...


def stack_at(frames_BTCHW: Tensor, t: int, size: int) -> Tensor:
    """The ``size`` frames up to frame t, oldest first, (B, size·C, H, W); the first frame is repeated."""
    index = [max(0, t - back) for back in reversed(range(size))]
    return frames_BTCHW[:, index].flatten(1, 2)


def memorise(model: StackNetwork, stack: StackFeatures, frame: int, *, first: bool) -> Template:
    """The template of a stack that ends at ``frame``. The first one kept is protected as a given mask is."""
    present = torch.ones(len(stack.feature), 1, dtype=torch.bool, device=stack.feature.device)
    return Template(
        key=model.memory_key(stack.feature)[:, None],
        value=model.memory_value(stack.feature)[:, None],
        update_key=model.memory_update(stack.feature)[:, None],
        update_query=model.query_update(stack.feature),
        frame=frame,
        present=present,
        given=present if first else ~present,
    )


class SlotSession:
    """The memory of one video: a value where gradients flow, else written in place.

    It is a ``models.prediction.PredictionSession``; the arguments are those of ``PredictionNetwork.begin``.
    """

    def __init__(
        self,
        model: StackNetwork,
        policy: Policy,
        *,
        in_place: bool,
        generator: torch.Generator | None = None,
        noise: bool = False,
        trace: Trace | None = None,
    ) -> None:
        self.model, self.generator, self.trace = model, generator, trace
        self._memory: StepMemory = (
            make_memory(policy) if in_place else DifferentiableMemory(policy, noise=noise)
        )
        self._reads_all = trace is not None or policy.entry.unit == "feature"  # which counts what is read
        self._recent: Tensor | None = None
        self._seen = 0

    @property
    def state(self) -> MemoryState | FeatureState:
        """The memory as it is now; in place, views that the next write may change."""
        return self._memory.state

    def step(self, frames_BTCHW: Tensor) -> Tensor:
        """Take in the next T frames, write their complete stacks; predict the frame after, (B, C, H, W).

        With a trace the stacks before the last one are read as well, for their read mass; with a rule on
        single features too, for its counters.
        """
        size = self.model.stack
        earlier = 0 if self._recent is None else self._recent.shape[1]
        known = frames_BTCHW if self._recent is None else torch.cat([self._recent, frames_BTCHW], 1)
        ends = [t for t in range(earlier, known.shape[1] - 1) if t >= size - 1]
        offset = self._seen - earlier
        for t, stack in zip(ends, _encoded(self.model, known, ends), strict=True):
            if self._reads_all:
                self._read(stack, offset + t)
            self._write(stack, offset + t)
        self._recent = known[:, -size:]
        self._seen += frames_BTCHW.shape[1]
        stack = self.model.encode(stack_at(known, known.shape[1] - 1, size))
        predicted = self.model.decode(stack, self._read(stack, self._seen - 1))
        if self._seen >= size:
            self._write(stack, self._seen - 1)
        return predicted

    def _read(self, stack: StackFeatures, frame: int) -> Tensor:
        """What the memory says to a stack that ends at ``frame``, (B, Cv, h, w)."""
        model, trace = self.model, self.trace
        if not model.read_memory:
            width = model.memory_value.out_channels
            return stack.feature.new_zeros(len(stack.feature), width, *stack.feature.shape[-2:])
        memory = self._memory
        if not memory.slots:  # nothing but its own template
            memory, trace = DifferentiableMemory(make_policy("previous")), None
            memory.write(memorise(model, stack, frame, first=True))
        key = model.query_key(stack.feature)
        return memory.read(key, affinity=model.affinity, top_k=model.top_k, trace=trace)[:, 0]

    def _write(self, stack: StackFeatures, frame: int) -> None:
        """Put the template of a stack that ends at ``frame`` where the policy decides."""
        template = memorise(self.model, stack, frame, first=not self._memory.slots)
        if self._memory.due(frame, template.given):
            self._memory.write(template, generator=self.generator, trace=self.trace)
        else:
            self._memory.skip(frame, self.trace)


def _encoded(model: StackNetwork, frames_BTCHW: Tensor, ends: list[int]) -> Iterator[StackFeatures]:
    """The stacks that end at some frames, encoded together where a gradient is kept anyway."""
    stacks = [stack_at(frames_BTCHW, t, model.stack) for t in ends]
    if not stacks or not torch.is_grad_enabled():
        yield from (model.encode(stack) for stack in stacks)
        return
    encoded = model.encode(torch.cat(stacks))
    batch = torch.arange(len(frames_BTCHW), device=frames_BTCHW.device)
    yield from (encoded[batch + i * len(batch)] for i in range(len(stacks)))
