"""STReMN-MS: multi-scale and flip testing, for every VOS network (STReMN Table 3; "from CFBI").

A pass sees the video at one scale, mirrored or not, and has a memory of its own. The passes' softmax
probabilities are averaged at the frame's own size, and this soft label, brought back to each pass's size,
is what every memory stores. Silent: the paper gives neither scales nor what is averaged. Each pass decides
alone which template it evicts: its scores are of its own features.

Letters: B clips, O objects, V views (1, or 2 with the mirrored one), H W pixels, T frames.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from stremn.errors import InputError
from stremn.inference.settings import SCALES
from stremn.memory import Memory, Policy, Trace, make_memory
from stremn.models.vos import VOSNetwork
from stremn.tasks.segmenter import Segmenter, with_given
from stremn.tasks.sizes import to_working_size
from stremn.tasks.vos import Rollout, first_appearances, given_masks

MOST = 16  # times a frame's size, of a scale


class ScalePass:
    """One scale of a video in progress: its views side by side in one batch (V·B), with one memory.

    Args:
        network: a VOS system.
        memory: of this scale.
        scale: factor of height and width.
        flip: a second view, mirrored left to right.
    """

    def __init__(self, network: VOSNetwork, memory: Memory, scale: float, flip: bool) -> None:
        self.memory, self.scale, self.flip = memory, scale, flip
        self.segmenter = Segmenter(network, memory)

    def look(self, frames_B3HW: Tensor, seen_BO: Tensor, trace: Trace | None) -> Tensor:
        """Probabilities (V, B, O + 1, H, W) of a frame; objects that were not seen before take nothing."""
        height, width = frames_B3HW.shape[-2:]
        size = (max(1, round(height * self.scale)), max(1, round(width * self.scale)))
        small = self._views(to_working_size(frames_B3HW, size))
        logits = self.segmenter.look(small, self._repeated(seen_BO), trace=trace)
        views = to_working_size(logits, (height, width)).softmax(1).unflatten(0, (-1, len(frames_B3HW)))
        return torch.stack([views[0], views[1].flip(-1)]) if self.flip else views

    def remember(
        self,
        merged_BCHW: Tensor,
        masks_BOHW: Tensor | None,
        frame: int,
        known_BO: Tensor,
        given_BO: Tensor,
        generator: torch.Generator | None,
        trace: Trace | None,
    ) -> None:
        """Store the frame that ``look`` saw with the merged probabilities (background first)."""
        known, given = self._repeated(known_BO), self._repeated(given_BO)
        if self.memory.due(frame, given):
            self._merge(merged_BCHW, masks_BOHW, given)
        self.segmenter.remember(frame, known, given, generator=generator, trace=trace)

    def _merge(self, merged_BCHW: Tensor, masks_BOHW: Tensor | None, given: Tensor) -> None:
        """Put what all passes say, and the given masks, in place of what this pass says."""
        left, right, top, bottom = self.segmenter.pad
        # the pass's own probabilities stay in the padding, where nothing was merged
        canvas = self.segmenter.logits.softmax(1)
        height, width = canvas.shape[-2:]
        size = (height - top - bottom, width - left - right)
        # within it comes the merged label at this scale, once for each view
        merged = self._views(to_working_size(merged_BCHW, size))
        canvas[..., top : height - bottom, left : width - right] = merged
        self.segmenter.logits = _log(canvas)
        # and over it the given masks, at this scale too
        if masks_BOHW is not None:
            self.segmenter.give(self._views(to_working_size(masks_BOHW, size, masks=True)), given)

    def _views(self, maps: Tensor) -> Tensor:
        return torch.cat([maps, maps.flip(-1)]) if self.flip else maps

    def _repeated(self, rows: Tensor) -> Tensor:
        return torch.cat([rows, rows]) if self.flip else rows


class Passes:
    """All passes over B videos in progress; a single one of scale 1 is a plain ``Segmenter``.

    Args:
        network, policy: as for ``rollout``.
        scales: factors of the frame's size, each above 0.
        flip: each scale mirrored, too.
        memories: of the scales, to go on with; None: empty ones.

    Attributes:
        memories: one for each scale; with ``flip`` the mirrored clips follow the B others.

    Raises:
        InputError: no scale, or one that is not above 0.
    """

    def __init__(
        self,
        network: VOSNetwork,
        policy: Policy,
        scales: Sequence[float] = SCALES,
        flip: bool = True,
        memories: Sequence[Memory] | None = None,
    ) -> None:
        if not scales or not all(0 < scale <= MOST for scale in scales):
            raise InputError(
                f"expected scales above 0 and at most {MOST}, found {list(scales)}: try {list(SCALES)}"
            )
        self.memories = [make_memory(policy) for _ in scales] if memories is None else list(memories)
        pairs = zip(scales, self.memories, strict=True)
        self._passes = [ScalePass(network, memory, scale, flip) for scale, memory in pairs]
        self._single = self._passes[0].segmenter if tuple(scales) == (1.0,) and not flip else None

    def step(
        self,
        frames_B3HW: Tensor,
        masks_BOHW: Tensor | None,
        frame: int,
        *,
        seen_BO: Tensor,
        given_BO: Tensor,
        generator: torch.Generator | None = None,
        trace: Trace | None = None,
        store: bool = True,
    ) -> Tensor:
        """Segment the next frame and store it.

        Args:
            frames_B3HW: RGB in [0, 1], any H and W, the same in every step.
            masks_BOHW: given masks in [0, 1], used where ``given_BO``; None: none is given.
            frame: its index.
            seen_BO: boolean; the object is to be read from the memory.
            given_BO: boolean; the object's mask is given now.
            generator: of the random rules.
            trace: receives what happens in the memory of the first scale, not mirrored.
            store: False leaves the memories as they are (a clip's last frame).

        Returns:
            Log odds, or log probabilities, of background and objects (B, O + 1, H, W); their softmax are
            probabilities.
        """
        known_BO = seen_BO | given_BO
        if self._single is not None:
            logits = self._single.look(frames_B3HW, seen_BO, masks_BOHW, given_BO, trace=trace)
            if store:
                self._single.remember(frame, known_BO, given_BO, generator=generator, trace=trace)
            return logits
        first = None if trace is None else Trace()  # of both views of the first scale
        traces = [first, *[None] * (len(self._passes) - 1)]
        looks = [one.look(frames_B3HW, seen_BO, own) for one, own in zip(self._passes, traces, strict=True)]
        merged = torch.cat(looks).mean(0)
        if store:
            for one, own in zip(self._passes, traces, strict=True):
                one.remember(merged, masks_BOHW, frame, known_BO, given_BO, generator, own)
        if trace is not None and first is not None:
            trace.steps += [step for step in first.steps if step.clip < len(frames_B3HW)]
        logits = _log(merged)
        return logits if masks_BOHW is None else with_given(logits, masks_BOHW, given_BO)


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
    passes = Passes(network, policy, scales, flip)
    result = Rollout(known=known_BTO, given=given_BTO)
    for t in range(frames_BT3HW.shape[1]):
        given_BO = given_BTO[:, t]
        logits = passes.step(
            frames_BT3HW[:, t],
            given_masks(masks_BTHW[:, t], given_BO, frames_BT3HW.shape[-2:]),
            t,
            seen_BO=known_BTO[:, t] & ~given_BO,
            given_BO=given_BO,
            generator=generator,
            trace=trace,
            store=t < frames_BT3HW.shape[1] - 1 or trace is not None,
        )
        result.logits.append(logits)
    result.state = passes.memories[0].state
    return result


def _log(probabilities: Tensor) -> Tensor:
    return probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()
