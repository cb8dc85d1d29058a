"""Segmentation of a clip: the first masks are given, every other frame is read from the memory.

Letters: B clips, T frames, O objects, H W pixels.
"""

from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from stremn.data.batches import IGNORED
from stremn.memory import DifferentiableMemory, FeatureState, MemoryState, Policy, Trace, make_memory
from stremn.models.vos import VOSNetwork
from stremn.tasks.segmenter import Segmenter, encoded
from stremn.tasks.sizes import to_working_size


@dataclass
class Rollout:
    """Segmentation of a batch of clips.

    Attributes:
        logits: for each frame the log odds of background and objects, (B, O + 1, H, W); a frame with a
            given mask holds that mask where it was given.
        known: boolean (B, T, O): the object has appeared, at this frame or before.
        given: boolean (B, T, O): the object's mask was given at this frame.
        state: the memory at the end.
    """

    logits: list[Tensor] = field(default_factory=list)
    known: Tensor = field(default_factory=lambda: torch.empty(0))
    given: Tensor = field(default_factory=lambda: torch.empty(0))
    state: MemoryState | FeatureState = field(default_factory=MemoryState.empty)

    def ids(self) -> Tensor:
        """Object ids (B, T, H, W), 0 is background."""
        return torch.stack([frame.argmax(1) for frame in self.logits], 1)


def first_appearances(masks_BTHW: Tensor, objects: int) -> Tensor:
    """Boolean (B, T, O): the frame where each object's mask is given, the first in which it is seen."""
    seen = torch.stack([(masks_BTHW == i).flatten(2).any(-1) for i in range(1, objects + 1)], -1)
    return seen & (seen.cumsum(1) == 1)


def given_masks(masks_BHW: Tensor, given_BO: Tensor, size: tuple[int, ...]) -> Tensor | None:
    """Masks (B, O, h, w) in [0, 1] of ids, at another size; None where none of them is given."""
    if not bool(given_BO.any()):
        return None
    ids = torch.arange(1, given_BO.shape[1] + 1, device=masks_BHW.device)
    return to_working_size((masks_BHW[:, None] == ids[:, None, None]).float(), size, masks=True)


def rollout(
    network: VOSNetwork,
    frames_BT3HW: Tensor,
    masks_BTHW: Tensor,
    objects: int,
    policy: Policy,
    *,
    generator: torch.Generator | None = None,
    noise: bool = False,
    trace: Trace | None = None,
) -> Rollout:
    """Segment whole clips. Of ``masks`` only each object's first appearance is used.

    Args:
        frames_BT3HW: RGB in [0, 1]; any H and W.
        masks_BTHW: object ids 0…O, at the frames' size or at their own, larger one.
        objects: O, the largest id.
        policy: the memory's update rule.
        noise: Gumbel noise in the learned rule (training).
        trace: records the memory.

    With gradients enabled the memory is a value; without, it is written in place.
    """
    learning = torch.is_grad_enabled()
    given_BTO = first_appearances(masks_BTHW, objects)
    known_BTO = given_BTO.cumsum(1) > 0
    clips, length = frames_BT3HW.shape[:2]
    memory = _learning(network, policy, noise, generator) if learning else make_memory(policy)
    segmenter = Segmenter(network, memory)
    queries = encoded(network, frames_BT3HW.flatten(0, 1)) if learning else None  # all frames at once
    first = torch.arange(clips, device=frames_BT3HW.device) * length
    result = Rollout(known=known_BTO, given=given_BTO)
    for t in range(length):
        known, given = known_BTO[:, t], given_BTO[:, t]
        logits = segmenter.look(
            frames_BT3HW[:, t],
            known & ~given,
            given_masks(masks_BTHW[:, t], given, frames_BT3HW.shape[-2:]),
            given,
            query=None if queries is None else queries[first + t],
            trace=trace,
        )
        result.logits.append(logits)
        if t < length - 1 or trace is not None:
            segmenter.remember(t, known, given, generator=generator, trace=trace)
    result.state = memory.state
    return result


def _learning(
    network: VOSNetwork, policy: Policy, noise: bool, generator: torch.Generator | None
) -> DifferentiableMemory:
    regulariser = network.affinity_regulariser
    if regulariser is not None:
        regulariser = replace(regulariser, generator=generator)
    return DifferentiableMemory(policy, noise=noise, regulariser=regulariser)


def segmentation_loss(result: Rollout, masks_BTHW: Tensor) -> Tensor:
    """Cross entropy of the aggregated probabilities (STReMN Sec. 4.1.1), mean over pixels.

    Frames before a memory exists (the first) and objects' given masks teach nothing: a clip's frame
    counts when some object of it is known and was not given there.
    """
    losses = []
    counts_BT = (result.known & ~result.given).any(-1)
    for t, logits in enumerate(result.logits):
        rows = counts_BT[:, t]
        if bool(rows.any()):
            truth = masks_BTHW[rows, t]
            losses.append(
                F.cross_entropy(logits[rows], truth, ignore_index=IGNORED, reduction="none").flatten()
            )
    if not losses:
        raise ValueError("no frame of the batch has a predicted object")
    return torch.cat(losses).mean()
