"""One frame, one step: look at it with what the memory holds, then remember it.

Every way to run a video is made of these two verbs: a rollout (``tasks.vos``), a stream and several scales
(``inference``), and the explorer.

Letters: B clips, O objects, H W pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from stremn.memory import StepMemory, Trace
from stremn.models.vos import Query, VOSNetwork
from stremn.ops.aggregation import aggregation_logits
from stremn.tasks.sizes import Pad, cropped, padded, padding


def encoded(network: VOSNetwork, frames_B3HW: Tensor) -> Query:
    """RGB frames in [0, 1] of any size, padded, seen by the query encoder."""
    pad = padding(frames_B3HW.shape[-2], frames_B3HW.shape[-1], network.stride)
    return network.encode_query(padded(network, frames_B3HW, pad))


class Segmenter:
    """A network and a memory on their way through B videos.

    Args:
        network: a VOS system.
        memory: what it reads from and writes to.
    """

    def __init__(self, network: VOSNetwork, memory: StepMemory) -> None:
        self.network, self.memory = network, memory
        self.pad: Pad = (0, 0, 0, 0)
        self.logits = torch.empty(0)  # of the last frame, with its border
        self._query: Query

    def look(
        self,
        frames_B3HW: Tensor,
        seen_BO: Tensor,
        masks_BOHW: Tensor | None = None,
        given_BO: Tensor | None = None,
        *,
        query: Query | None = None,
        trace: Trace | None = None,
    ) -> Tensor:
        """Segment a frame: read the memory, decode, aggregate, and let given masks replace the prediction.

        A memory of single features counts what is read: look at each frame once.

        Args:
            frames_B3HW: RGB in [0, 1], any H and W.
            seen_BO: boolean, objects to read from the memory; the others take nothing.
            masks_BOHW: given masks in [0, 1]; None: no mask of this frame is given.
            given_BO: boolean, whose mask is given.
            query: what ``encoded`` says of the frames, where it is known.
            trace: records what is read.

        Returns:
            Log odds of background and objects, (B, O + 1, H, W); their softmax are probabilities.
        """
        network = self.network
        self.pad = padding(frames_B3HW.shape[-2], frames_B3HW.shape[-1], network.stride)
        self._query = encoded(network, frames_B3HW) if query is None else query
        if self.memory.slots:
            read_BOChw = self.memory.read(
                self._query.key, affinity=network.affinity, top_k=network.top_k, trace=trace
            )
            alone_BOHW = network.decode(self._query, read_BOChw) * seen_BO[..., None, None]
        else:  # nothing is known yet but what is given
            alone_BOHW = frames_B3HW.new_zeros(*seen_BO.shape, *self._query.frames.shape[-2:])
        self.logits = aggregation_logits(alone_BOHW)
        if masks_BOHW is not None and given_BO is not None:
            self.give(masks_BOHW, given_BO)
        return cropped(self.logits, self.pad)

    def give(self, masks_BOHW: Tensor, given_BO: Tensor) -> None:
        """Let given masks (of the frame's size) replace what was seen in the last frame."""
        if bool(given_BO.any()):
            self.logits = with_given(self.logits, F.pad(masks_BOHW, self.pad), given_BO)

    def remember(
        self,
        frame: int,
        known_BO: Tensor,
        given_BO: Tensor,
        *,
        generator: torch.Generator | None = None,
        trace: Trace | None = None,
    ) -> None:
        """Write the last frame into the memory as it was segmented, if the memory's rule looks at it at all.

        Args:
            frame: its index.
            known_BO: boolean, the object has appeared, in this frame or before.
            given_BO: boolean, the object's mask is given in this frame.
            generator: of the random rules.
            trace: records what is written.
        """
        if not (bool(known_BO.any()) and self.memory.due(frame, given_BO)):
            self.memory.skip(frame, trace)
            return
        label_BOHW = self.logits.softmax(1)[:, 1:]
        if not self.network.memorises_padding:
            label_BOHW = F.pad(cropped(label_BOHW, self.pad), self.pad)
        template = self.network.memorise(self._query, label_BOHW, frame, known_BO, given_BO)
        self.memory.write(template, generator=generator, trace=trace)


def with_given(logits: Tensor, masks_BOHW: Tensor, given_BO: Tensor) -> Tensor:
    """Log odds of a frame in which some masks are given.

    Args:
        logits: of the frame as it was predicted, (B, O + 1, H, W).
        masks_BOHW: in [0, 1].
        given_BO: boolean; a given mask replaces its object's prediction, and its pixels leave the others.
    """
    predicted = logits.softmax(1)[:, 1:]
    given = masks_BOHW * given_BO[..., None, None]
    free = 1 - given.amax(1, keepdim=True)
    return aggregation_logits(torch.where(given_BO[..., None, None], given, predicted * free))
