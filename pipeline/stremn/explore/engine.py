"""One frame of a video through a system, from any moment of its memory; equal to ``inference.stream.Stream``.

Letters: O objects, H W pixels of the frame, h w feature map.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from stremn.data.clips import Pixels
from stremn.explore.masks import Given
from stremn.explore.pictures import Pictures
from stremn.figures.overlays import matte
from stremn.memory import Memory, Trace
from stremn.models.vos import Query, VOSNetwork
from stremn.tasks.segmenter import Segmenter, encoded
from stremn.tasks.sizes import padding, scaled_size, to_working_size

KEYS = 2**28  # bytes of query keys that are kept


@dataclass(frozen=True)
class Geometry:
    """How a frame lies on the feature map: scaled to ``small`` (H, W), then padded (left, right, top, bottom)."""

    frame: tuple[int, int]
    small: tuple[int, int]
    pad: tuple[int, int, int, int]

    def position(self, x: float, y: float, size: tuple[int, int]) -> tuple[int, int]:
        """Row and column on a feature map of ``size`` (h, w) of a pixel (x, y) of the frame."""
        left, right, top, bottom = self.pad
        row = ((y + 0.5) * self.small[0] / self.frame[0] + top) / (self.small[0] + top + bottom)
        column = ((x + 0.5) * self.small[1] / self.frame[1] + left) / (self.small[1] + left + right)
        return min(size[0] - 1, int(row * size[0])), min(size[1] - 1, int(column * size[1]))

    def window(self) -> tuple[float, float, float, float]:
        """The frame's part of the padded image: left, top, width and height as shares."""
        left, right, top, bottom = self.pad
        width, height = self.small[1] + left + right, self.small[0] + top + bottom
        return left / width, top / height, self.small[1] / width, self.small[0] / height


class Engine:
    """A system and a video.

    Args:
        network: a VOS system in evaluation mode.
        pictures: the video.
        size: shorter side in pixels at which frames are processed; None: native size.
        device: where to compute.
    """

    def __init__(
        self, network: VOSNetwork, pictures: Pictures, *, size: int | None = None, device: str = "cpu"
    ) -> None:
        self.network, self.pictures, self.device = network, pictures.again(), device
        small = scaled_size(*pictures.size, size)
        self.geometry = Geometry(pictures.size, small, padding(*small, network.stride))
        self._keys: OrderedDict[int, Tensor] = OrderedDict()
        self._lock = threading.Lock()  # one reader of the video, two threads

    def key(self, frame: int) -> Tensor:
        """The query key of a frame, (1, Ck, h, w); computed again where it is no longer kept."""
        return self._keys[frame] if frame in self._keys else self._seen(frame)[1].key

    @torch.no_grad()
    def step(
        self,
        frame: int,
        given: Given,
        memory: Memory,
        generator: torch.Generator,
        trace: Trace | None = None,
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Segment a frame and write it into the memory, which holds what it held before it.

        Returns:
            Object ids (H, W), and the probability of being an object, 0 to 255 (H, W).
        """
        image, query = self._seen(frame)
        objects, ids = given.objects(frame), given.masks.get(frame)
        here = [] if ids is None else [i for i in np.unique(ids).tolist() if i]
        new = [i for i in here if i not in objects]
        seen = torch.tensor([[True] * len(objects) + [False] * len(new)], device=self.device)
        objects = objects + new
        memory.add_objects(len(new))
        given_BO = torch.tensor([[i in here for i in objects]], device=self.device)
        masks = self._planes(ids, objects) if ids is not None and here else None
        segmenter = Segmenter(self.network, memory)
        logits = segmenter.look(image, seen, masks, given_BO, query=query, trace=trace)
        segmenter.remember(frame, seen | given_BO, given_BO, generator=generator, trace=trace)
        if logits.shape[-2:] != self.geometry.frame:
            logits = F.interpolate(logits, size=self.geometry.frame, mode="bilinear", align_corners=False)
        likely = logits.softmax(1)[0].float().cpu().numpy()  # as of ``inference.stream``, for the same ties
        return np.array([0, *objects], np.uint8)[likely.argmax(0)], matte(1 - likely[0])

    @torch.no_grad()
    def remember(self, frame: int, ids: Pixels, objects: list[int], memory: Memory) -> None:
        """Write a frame with known ids into a memory, for ``objects``; those not in ``ids`` are not present."""
        image, query = self._seen(frame)
        segmenter = Segmenter(self.network, memory)
        all_known = torch.ones(1, len(objects), dtype=torch.bool, device=self.device)
        segmenter.look(image, ~all_known, self._planes(ids, objects), all_known, query=query)
        present = torch.tensor([[bool((ids == i).any()) for i in objects]], device=self.device)
        segmenter.remember(frame, present, torch.zeros_like(present))

    @torch.no_grad()
    def _seen(self, frame: int) -> tuple[Tensor, Query]:
        """A frame (1, 3, h, w) at the working size, and what the query encoder sees; its key is kept."""
        with self._lock:
            pixels = np.ascontiguousarray(self.pictures[frame])
        image = torch.from_numpy(pixels).to(self.device).permute(2, 0, 1)[None].float() / 255
        small = to_working_size(image, self.geometry.small)
        query = encoded(self.network, small)
        self._keys[frame] = query.key
        while len(self._keys) > max(8, KEYS // (query.key.numel() * query.key.element_size())):
            self._keys.popitem(last=False)
        return small, query

    def _planes(self, ids: Pixels, objects: list[int]) -> Tensor:
        """Masks (1, O, h, w) in [0, 1] at the working size."""
        wanted = torch.tensor(objects, device=self.device)[:, None, None]
        full = (torch.as_tensor(ids.astype(np.int64), device=self.device)[None] == wanted).float()[None]
        return to_working_size(full, self.geometry.small, masks=True)
