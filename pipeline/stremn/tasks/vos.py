"""Segmentation of a clip: the first masks are given, every other frame is read from the memory.

Letters: B clips, T frames, O objects, H W pixels.
"""

from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stremn.data.batches import IGNORED
from stremn.memory import (
    FeatureState,
    Memory,
    MemoryState,
    Policy,
    Template,
    Trace,
    make_memory,
    read,
    write,
)
from stremn.models.vos import Query, VOSNetwork
from stremn.ops.affinity_regularisers import AffinityRegulariser
from stremn.ops.aggregation import aggregation_logits


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
    ids = torch.arange(1, objects + 1, device=masks_BTHW.device)
    seen = (masks_BTHW[:, :, None] == ids[:, None, None]).flatten(3).any(-1)
    return seen & (seen.cumsum(1) == 1)


def one_hot(masks_BHW: Tensor, objects: int) -> Tensor:
    """Masks of ids as float (B, O, H, W)."""
    ids = torch.arange(1, objects + 1, device=masks_BHW.device)
    return (masks_BHW[:, None] == ids[:, None, None]).float()


def padding(height: int, width: int, stride: int) -> tuple[int, int, int, int]:
    """Symmetric zero padding (left, right, top, bottom) up to multiples of ``stride``."""
    extra_h, extra_w = -height % stride, -width % stride
    return (extra_w // 2, extra_w - extra_w // 2, extra_h // 2, extra_h - extra_h // 2)


def padded(network: VOSNetwork, frames: Tensor, pad: tuple[int, int, int, int]) -> Tensor:
    """RGB frames (…, 3, H, W) in [0, 1] with a black border, or the mean's where ``pads_normalised`` (STCN)."""
    if not getattr(network, "pads_normalised", False):
        return F.pad(frames, pad)
    assert isinstance(network, nn.Module)
    mean = network.get_buffer("mean").to(frames)
    inside = F.pad(torch.ones_like(frames[..., :1, :, :]), pad)
    return torch.where(inside > 0, F.pad(frames, pad), mean)


def to_memorise(network: VOSNetwork, logits: Tensor, pad: tuple[int, int, int, int]) -> Tensor:
    """Objects' probabilities (B, O, H, W) that the memory encoder sees of a padded frame.

    They reach over the padding, or are 0 there where ``memorises_padding`` is False (STM's release cuts
    a result back before it pads it again).
    """
    probabilities = logits.softmax(1)[:, 1:]
    if getattr(network, "memorises_padding", True):
        return probabilities
    return F.pad(cropped(probabilities, pad), pad)


def impose(logits: Tensor, given_BOHW: Tensor, given_BO: Tensor) -> Tensor:
    """Foreground probabilities (B, O, H, W) of a frame in which some masks are given.

    ``logits`` are the aggregated log odds of the frame (B, O + 1, H, W). A given mask replaces its
    object's prediction, and its pixels leave the other objects.
    """
    predicted = logits.softmax(1)[:, 1:]
    given = given_BOHW * given_BO[..., None, None]
    free = 1 - given.amax(1, keepdim=True)
    return torch.where(given_BO[..., None, None], given, predicted * free)


def segment(
    network: VOSNetwork,
    query: Query,
    memory: MemoryState | Memory,
    known_BO: Tensor,
    trace: Trace | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Read the memory and decode: aggregated log odds (B, O + 1, H, W); unknown objects take nothing.

    A memory of single features counts what is read: call this once for each frame. ``generator``: of a
    regulariser that the network has while it trains.
    """
    regulariser = _regulariser(network)
    if regulariser is not None:
        regulariser = replace(regulariser, generator=generator)
    read_BOChw = read(
        memory,
        query.key,
        affinity=network.affinity,
        top_k=network.top_k,
        trace=trace,
        regulariser=regulariser,
    )
    return aggregation_logits(network.decode(query, read_BOChw) * known_BO[..., None, None])


def _regulariser(network: VOSNetwork) -> AffinityRegulariser | None:
    """What the network does with the affinity while it trains; None: nothing."""
    return getattr(network, "affinity_regulariser", None)


def memorise(
    network: VOSNetwork, query: Query, masks_BOHW: Tensor, frame: int, known_BO: Tensor, given_BO: Tensor
) -> Template:
    """The template of a frame and its masks."""
    key, value, update_key = network.encode_memory(query, masks_BOHW)
    regulariser = _regulariser(network)
    cover = None
    if regulariser is not None and regulariser.reallocation and torch.is_grad_enabled():
        size = (value.shape[-2], value.shape[-1])
        cover = F.adaptive_avg_pool2d(masks_BOHW.detach(), size)[:, :, None]
    return Template(
        key,
        value,
        update_key,
        update_key if getattr(network, "update_from", "image") == "mask" else query.update_query,
        frame,
        known_BO,
        given_BO,
        getattr(network, "logit_scale", 1.0),
        age_score=getattr(network, "age_score", None),
        fusion=getattr(network, "fusion", None),
        cover=cover,
    )


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
    """Segment whole clips. Of ``masks`` only each object's first appearance is looked at.

    Args:
        frames_BT3HW: RGB in [0, 1]; any H and W.
        masks_BTHW: object ids 0…O.
        objects: O, the largest id.
        policy: the memory's update rule.
        noise: Gumbel noise in the learned rule (training).
        trace: records the memory.

    With gradients enabled the memory is a value; without, it is written in place.
    """
    pad = padding(frames_BT3HW.shape[-2], frames_BT3HW.shape[-1], network.stride)
    frames = padded(network, frames_BT3HW, pad)
    masks = F.pad(masks_BTHW, pad)
    length = frames.shape[1]
    given_BTO = first_appearances(masks, objects)
    known_BTO = given_BTO.cumsum(1) > 0
    learning = torch.is_grad_enabled()
    queries = network.encode_query(frames.flatten(0, 1)) if learning else None
    at = torch.arange(frames.shape[0], device=frames.device) * length
    state, memory = MemoryState.empty(), make_memory(policy)
    result = Rollout(known=known_BTO, given=given_BTO)
    for t in range(length):
        query = network.encode_query(frames[:, t]) if queries is None else queries[at + t]
        known, given = known_BTO[:, t], given_BTO[:, t]
        held = state if learning else memory
        logits = _frame_logits(network, query, held, masks[:, t], known, given, trace, generator)
        result.logits.append(cropped(logits, pad))
        if t == length - 1 and trace is None:
            break
        if not learning and not memory.due(t, given):
            memory.skip(t, trace)
            continue
        template = memorise(network, query, to_memorise(network, logits, pad), t, known, given)
        if learning:
            state = write(state, template, policy, generator=generator, noise=noise, trace=trace)
        else:
            memory.write(template, generator=generator, trace=trace)
    result.state = state if learning else memory.state
    return result


def _frame_logits(
    network: VOSNetwork,
    query: Query,
    memory: MemoryState | Memory,
    masks_BHW: Tensor,
    known_BO: Tensor,
    given_BO: Tensor,
    trace: Trace | None,
    generator: torch.Generator | None,
) -> Tensor:
    exact = one_hot(masks_BHW, given_BO.shape[1])
    if not memory.slots:
        return aggregation_logits(exact * given_BO[..., None, None])
    logits = segment(network, query, memory, known_BO & ~given_BO, trace, generator)
    if bool(given_BO.any()):
        logits = aggregation_logits(impose(logits, exact, given_BO))
    return logits


def cropped(maps: Tensor, pad: tuple[int, int, int, int]) -> Tensor:
    """Maps (…, H, W) without their padding."""
    left, right, top, bottom = pad
    return maps[..., top : maps.shape[-2] - bottom, left : maps.shape[-1] - right]


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
