"""Video prediction: observed frames fill the memory, predicted frames are fed back (STReMN Sec. 4.2).

The stack of S consecutive frames that ends at frame t asks the memory of earlier stacks for frame t + 1;
then its own template is written. Only complete stacks are kept. A query before the first complete stack
has been written (fewer than S + 1 frames) reads a memory of its own template alone, and reaches back
before the clip's beginning by repeating the first frame.

Letters: B clips, T frames, S frames of a stack, C channels, H W pixels.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stremn.errors import InputError
from stremn.memory import MemoryBuffer, MemoryState, Policy, Template, Trace, make_policy, read, write
from stremn.models.predictor import StackFeatures, VideoPredictor


def default_policy() -> Policy:
    """The paper's: learned update, five slots."""
    return make_policy("learned", slots=5)


def stack_at(frames_BTCHW: Tensor, t: int, size: int) -> Tensor:
    """The ``size`` frames up to frame t, oldest first, (B, size·C, H, W); the first frame is repeated."""
    index = [max(0, t - back) for back in reversed(range(size))]
    return frames_BTCHW[:, index].flatten(1, 2)


def memorise(model: VideoPredictor, stack: StackFeatures, frame: int, *, first: bool) -> Template:
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


def predict_next(
    model: VideoPredictor, stack: StackFeatures, state: MemoryState, frame: int, trace: Trace | None = None
) -> Tensor:
    """The frame after the stack that ends at ``frame``: (B, C, H, W) in [0, 1]."""
    return model.decode(stack, _read(model, stack, state, frame, trace))


def rollout(
    model: VideoPredictor,
    frames_BTCHW: Tensor,
    observed: int,
    predicted: int,
    policy: Policy | None = None,
    *,
    generator: torch.Generator | None = None,
    noise: bool = False,
    trace: Trace | None = None,
) -> Tensor:
    """Predict freely: only the first ``observed`` frames are looked at.

    Args:
        frames_BTCHW: in [0, 1], T ≥ observed; H and W multiples of ``model.stride``.
        observed: frames to watch, at least 1.
        predicted: frames to predict, any number ≥ 1.
        policy: the memory's update rule; by default learned with five slots.
        generator, noise: Gumbel noise in the learned rule (training).
        trace: records the memory; the observed stacks are then read as well, for their read mass.

    Returns:
        (B, predicted, C, H, W) in [0, 1]. With gradients enabled they run through the fed-back frames
        and the memory; without, the memory is written in place.
    """
    if not 1 <= observed <= frames_BTCHW.shape[1] or predicted < 1:
        raise InputError(
            f"expected 1 ≤ observed ≤ {frames_BTCHW.shape[1]} frames and predicted ≥ 1, "
            f"found {observed} and {predicted}"
        )
    in_place = not torch.is_grad_enabled()
    memory = PredictionMemory(
        model, policy or default_policy(), in_place=in_place, generator=generator, noise=noise, trace=trace
    )
    history = frames_BTCHW[:, :observed]
    for t, stack in enumerate(_observed_stacks(model, history), model.stack - 1):
        if trace is not None:
            _read(model, stack, memory.state, t, trace)
        memory.write(stack, t)
    results: list[Tensor] = []
    recent = history[:, -model.stack :]
    last = observed + predicted - 2
    for t in range(observed - 1, last + 1):
        stack = model.encode(stack_at(recent, recent.shape[1] - 1, model.stack))
        results.append(predict_next(model, stack, memory.state, t, trace))
        if t >= model.stack - 1 and (t < last or trace is not None):
            memory.write(stack, t)
        recent = torch.cat([recent, results[-1][:, None]], 1)[:, -model.stack :]
    return torch.stack(results, 1)


def _observed_stacks(model: VideoPredictor, frames_BTCHW: Tensor) -> Iterator[StackFeatures]:
    """The complete stacks before the last frame's, encoded together where a gradient is kept anyway."""
    ends = range(model.stack - 1, frames_BTCHW.shape[1] - 1)
    stacks = [stack_at(frames_BTCHW, t, model.stack) for t in ends]
    if not stacks or not torch.is_grad_enabled():
        yield from (model.encode(stack) for stack in stacks)
        return
    encoded = model.encode(torch.cat(stacks))
    batch = torch.arange(len(frames_BTCHW), device=frames_BTCHW.device)
    yield from (encoded[batch + i * len(batch)] for i in range(len(stacks)))


def _read(
    model: VideoPredictor, stack: StackFeatures, state: MemoryState, frame: int, trace: Trace | None
) -> Tensor:
    if not state.slots:
        state, trace = write(state, memorise(model, stack, frame, first=True), make_policy("previous")), None
    key = model.query_key(stack.feature)
    return read(state, key, affinity=model.affinity, top_k=model.top_k, trace=trace)[:, 0]


class PredictionMemory:
    """The memory of one rollout or stream: a value where gradients flow, else written in place."""

    def __init__(
        self,
        model: VideoPredictor,
        policy: Policy,
        *,
        in_place: bool,
        generator: torch.Generator | None = None,
        noise: bool = False,
        trace: Trace | None = None,
    ) -> None:
        self.model, self.policy, self.generator = model, policy, generator
        self.noise, self.trace = noise, trace
        self._value = MemoryState.empty()
        self._buffer = MemoryBuffer(policy) if in_place else None

    @property
    def state(self) -> MemoryState:
        """The memory as it is now; in place, views that the next write may change."""
        return self._value if self._buffer is None else self._buffer.state

    def write(self, stack: StackFeatures, frame: int) -> None:
        """Put the template of a stack that ends at ``frame`` where the policy decides."""
        template = memorise(self.model, stack, frame, first=not self.state.slots)
        if self._buffer is not None:
            self._buffer.write(template, generator=self.generator, trace=self.trace)
            return
        self._value = write(
            self._value,
            template,
            self.policy,
            generator=self.generator,
            noise=self.noise,
            trace=self.trace,
        )


@torch.no_grad()
def predict_clips(
    model: VideoPredictor,
    clips_NTCHW: NDArray[np.floating],
    observed: int,
    predicted: int,
    policy: Policy | None = None,
    *,
    batch: int = 16,
    device: str = "cpu",
    seed: int = 0,
) -> NDArray[np.float32]:
    """Predictions for many clips, a batch at a time: (N, T, C, H, W) → (N, predicted, C, H, W)."""
    model = model.to(device).eval()
    generator = torch.Generator(device).manual_seed(seed)
    parts = []
    for start in range(0, len(clips_NTCHW), batch):
        part = np.ascontiguousarray(clips_NTCHW[start : start + batch, :observed], dtype=np.float32)
        frames = torch.from_numpy(part).to(device)
        result = rollout(model, frames, observed, predicted, policy, generator=generator)
        parts.append(result.float().cpu().numpy())
    return np.concatenate(parts)
