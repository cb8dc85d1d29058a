"""STReMN-MS: multi-scale and flip testing, for every VOS network (STReMN Table 3; "from CFBI").

A pass sees the video at one scale, mirrored or not, and has a memory of its own. The passes' softmax
probabilities are averaged at the frame's own size, and this soft label, brought back to each pass's size,
is what every memory stores. Silent: the paper gives neither scales nor what is averaged. Each pass decides
alone which template it evicts: its scores are of its own features.

Letters: B clips, O objects, V views (1, or 2 with the mirrored one), H W pixels, T frames.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from stremn.errors import InputError
from stremn.inference.settings import SCALES
from stremn.memory import FeatureState, MemoryState, Policy, Trace, make_memory
from stremn.models.vos import Query, VOSNetwork
from stremn.ops.aggregation import aggregation_logits
from stremn.tasks.vos import (
    Rollout,
    cropped,
    first_appearances,
    impose,
    memorise,
    one_hot,
    padded,
    padding,
    segment,
    to_memorise,
)


class ScalePass:
    """One scale of a video in progress: its views side by side in one batch (V·B), with one memory.

    Args:
        network: a VOS system.
        policy: the memory's update rule.
        scale: factor of height and width.
        flip: a second view, mirrored left to right.
        record: keep a trace of the view that is not mirrored.
    """

    def __init__(self, network: VOSNetwork, policy: Policy, scale: float, flip: bool, record: bool) -> None:
        self.network, self.scale, self.flip = network, scale, flip
        self.memory = make_memory(policy)
        self.trace = Trace() if record else None
        self._query: Query
        self._pad = (0, 0, 0, 0)
        self._own = torch.empty(0)

    def look(self, frames_B3HW: Tensor, seen_BO: Tensor) -> Tensor:
        """Probabilities (V, B, O + 1, H, W) of a frame; objects that were not seen before take nothing."""
        height, width = frames_B3HW.shape[-2:]
        size = (max(1, round(height * self.scale)), max(1, round(width * self.scale)))
        small = self._views(_resized(frames_B3HW, size))
        self._pad = padding(*size, self.network.stride)
        self._query = self.network.encode_query(padded(self.network, small, self._pad))
        if self.memory.slots:
            seen = self._repeated(seen_BO)
            logits = segment(self.network, self._query, self.memory, seen, self.trace)
        else:
            shape = (len(small), seen_BO.shape[1], *self._query.frames.shape[-2:])
            logits = aggregation_logits(small.new_zeros(shape))
        self._own = logits.softmax(1)
        views = _resized(cropped(logits, self._pad), (height, width)).softmax(1)
        views = views.unflatten(0, (-1, len(frames_B3HW)))
        return torch.stack([views[0], views[1].flip(-1)]) if self.flip else views

    def remember(
        self,
        merged_BCHW: Tensor,
        masks_BOHW: Tensor,
        frame: int,
        known_BO: Tensor,
        given_BO: Tensor,
        generator: torch.Generator | None,
    ) -> None:
        """Store the frame that ``look`` saw with the merged probabilities (background first).

        In the padding, where nothing was merged, the pass's own probabilities stand.
        """
        given = self._repeated(given_BO)
        if not self.memory.due(frame, given):
            self.memory.skip(frame, self.trace)
            return
        left, right, top, bottom = self._pad
        height, width = self._own.shape[-2:]
        size = (height - top - bottom, width - left - right)
        canvas = self._own.clone()
        canvas[..., top : height - bottom, left : width - right] = self._views(_resized(merged_BCHW, size))
        logits = _log(canvas)
        if bool(given.any()):
            masks = F.pad(self._views(_resized(masks_BOHW, size, exact=True)), self._pad)
            logits = aggregation_logits(impose(logits, masks, given))
        label = to_memorise(self.network, logits, self._pad)
        template = memorise(self.network, self._query, label, frame, self._repeated(known_BO), given)
        self.memory.write(template, generator=generator, trace=self.trace)

    def _views(self, maps: Tensor) -> Tensor:
        return torch.cat([maps, maps.flip(-1)]) if self.flip else maps

    def _repeated(self, rows: Tensor) -> Tensor:
        return torch.cat([rows, rows]) if self.flip else rows


class Passes:
    """All passes over B videos in progress.

    Args:
        network, policy: as for ``rollout``.
        scales: factors of the frame's size, each above 0.
        flip: each scale mirrored, too.
        trace: receives what happens in the memory of the first scale, not mirrored.

    Raises:
        InputError: no scale, or one that is not above 0.
    """

    def __init__(
        self,
        network: VOSNetwork,
        policy: Policy,
        scales: Sequence[float] = SCALES,
        flip: bool = True,
        trace: Trace | None = None,
    ) -> None:
        if not scales or not all(0 < scale < float("inf") for scale in scales):
            raise InputError(f"expected scales above 0, found {list(scales)}: try {list(SCALES)}")
        self.passes = [
            ScalePass(network, policy, scale, flip, trace is not None and at == 0)
            for at, scale in enumerate(scales)
        ]
        self.trace = trace

    @property
    def state(self) -> MemoryState | FeatureState:
        """The first scale's memory; with ``flip`` the mirrored clips follow the B others."""
        return self.passes[0].memory.state

    def add_objects(self, count: int) -> None:
        """Make room for objects that appear now."""
        for one in self.passes:
            one.memory.add_objects(count)

    def step(
        self,
        frames_B3HW: Tensor,
        masks_BOHW: Tensor,
        frame: int,
        *,
        seen_BO: Tensor,
        given_BO: Tensor,
        generator: torch.Generator | None = None,
        store: bool = True,
    ) -> Tensor:
        """Segment the next frame and store it.

        Args:
            frames_B3HW: RGB in [0, 1], any H and W, the same in every step.
            masks_BOHW: given masks in [0, 1]; looked at where ``given_BO``.
            frame: its index.
            seen_BO: boolean; the object is to be read from the memory.
            given_BO: boolean; the object's mask is given now.
            generator: of the random rules.
            store: False leaves the memories as they are (a clip's last frame).

        Returns:
            Log probabilities of background and objects (B, O + 1, H, W).
        """
        views = torch.cat([one.look(frames_B3HW, seen_BO) for one in self.passes])
        merged = views.mean(0)
        if store:
            for one in self.passes:
                one.remember(merged, masks_BOHW, frame, seen_BO | given_BO, given_BO, generator)
        self._keep_trace(len(frames_B3HW))
        logits = _log(merged)
        if bool(given_BO.any()):
            logits = aggregation_logits(impose(logits, masks_BOHW, given_BO))
        return logits

    def _keep_trace(self, clips: int) -> None:
        private = self.passes[0].trace
        if self.trace is not None and private is not None:
            self.trace.steps += [step for step in private.steps if step.clip < clips]
            private.steps.clear()


@torch.no_grad()
def multiscale_rollout(
    network: VOSNetwork,
    frames_BT3HW: Tensor,
    masks_BTHW: Tensor,
    objects: int,
    policy: Policy,
    *,
    scales: Sequence[float] = SCALES,
    flip: bool = True,
    generator: torch.Generator | None = None,
    trace: Trace | None = None,
) -> Rollout:
    """``rollout`` with several passes; the arguments are those of ``tasks.vos.rollout``. Not for training.

    Args:
        scales, flip: see ``Passes``. ``scales=(1.0,), flip=False`` equals ``rollout``.

    Returns:
        As ``rollout``; ``state`` is the first scale's memory.
    """
    given_BTO = first_appearances(masks_BTHW, objects)
    known_BTO = given_BTO.cumsum(1) > 0
    passes = Passes(network, policy, scales, flip, trace)
    result = Rollout(known=known_BTO, given=given_BTO)
    for t in range(frames_BT3HW.shape[1]):
        logits = passes.step(
            frames_BT3HW[:, t],
            one_hot(masks_BTHW[:, t], objects),
            t,
            seen_BO=known_BTO[:, t] & ~given_BTO[:, t],
            given_BO=given_BTO[:, t],
            generator=generator,
            store=t < frames_BT3HW.shape[1] - 1 or trace is not None,
        )
        result.logits.append(logits)
    result.state = passes.state
    return result


def _resized(maps: Tensor, size: tuple[int, ...], *, exact: bool = False) -> Tensor:
    """Maps (…, h, w) at another size; ``exact``: masks, by the area that they cover."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    if exact:
        return F.interpolate(maps, size=size, mode="area")
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False, antialias=True)


def _log(probabilities: Tensor) -> Tensor:
    return probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()
