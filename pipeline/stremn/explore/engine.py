"""One frame of a video through a system, from any moment of its memory; equal to ``inference.stream.Stream``.

Letters: O objects, H W pixels of the frame, h w feature map.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from stremn.data.clips import Pixels
from stremn.errors import InputError
from stremn.explore.pictures import Pictures
from stremn.memory import Memory, Template, Trace
from stremn.models.vos import Query, VOSNetwork
from stremn.ops.aggregation import aggregation_logits
from stremn.tasks.vos import cropped, impose, memorise, padded, padding, segment, to_memorise

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
        given: frame → ids (H, W) whose masks are given there (0: none of them); frame 0 has one.
        size: shorter side in pixels at which frames are looked at; None: as they come.
        device: where to compute.
    """

    def __init__(
        self,
        network: VOSNetwork,
        pictures: Pictures,
        given: Mapping[int, Pixels],
        *,
        size: int | None = None,
        device: str = "cpu",
    ) -> None:
        self.network, self.pictures, self.device = network, pictures.again(), device
        self.given = {frame: np.asarray(given[frame]) for frame in sorted(given)}
        if not self.given.get(0, np.zeros(1)).any():
            raise InputError(
                "expected a mask with at least one object for frame 0, found none: draw or give one"
            )
        wrong = [f for f, ids in self.given.items() if ids.shape != pictures.size]
        if wrong:
            raise InputError(
                f"expected masks of the frames' size {pictures.size}, found {self.given[wrong[0]].shape} for frame "
                f"{wrong[0]}; resize it"
            )
        height, width = pictures.size
        scale = 1.0 if size is None or min(height, width) == size else size / min(height, width)
        small = (max(1, round(height * scale)), max(1, round(width * scale)))
        self.geometry = Geometry(pictures.size, small, padding(*small, network.stride))
        self._keys: OrderedDict[int, Tensor] = OrderedDict()
        self._lock = threading.Lock()  # one reader of the video, two threads

    def objects(self, frame: int) -> list[int]:
        """Ids of the objects that have appeared before ``frame``, in the order of their appearance."""
        found: list[int] = []
        for number, ids in self.given.items():
            if number < frame:
                found += [i for i in np.unique(ids).tolist() if i and i not in found]
        return found

    @property
    def all_objects(self) -> list[int]:
        """Ids of all objects that ever appear."""
        return self.objects(len(self.pictures) + 1)

    @torch.no_grad()
    def query(self, frame: int) -> Query:
        """A frame seen by the query encoder; its key is kept for ``key``."""
        with self._lock:
            pixels = np.ascontiguousarray(self.pictures[frame])
        image = torch.from_numpy(pixels).to(self.device)
        small = self._resized(image.permute(2, 0, 1)[None].float() / 255, "bilinear")
        query = self.network.encode_query(padded(self.network, small, self.geometry.pad))
        self._keys[frame] = query.key
        while len(self._keys) > max(8, KEYS // (query.key.numel() * query.key.element_size())):
            self._keys.popitem(last=False)
        return query

    def key(self, frame: int) -> Tensor:
        """The query key of a frame, (1, Ck, h, w); computed again where it is no longer kept."""
        return self._keys[frame] if frame in self._keys else self.query(frame).key

    @torch.no_grad()
    def step(
        self, frame: int, memory: Memory, generator: torch.Generator, trace: Trace | None = None
    ) -> NDArray[np.uint8]:
        """Segment a frame and write it into the memory, which holds what it held before it.

        Returns:
            Object ids (H, W).
        """
        query, objects = self.query(frame), self.objects(frame)
        ids = self.given.get(frame)
        here = [] if ids is None else [i for i in np.unique(ids).tolist() if i]
        new = [i for i in here if i not in objects]
        known = torch.tensor([[True] * len(objects) + [False] * len(new)], device=self.device)
        objects = objects + new
        memory.add_objects(len(new))
        if memory.slots:
            logits = segment(self.network, query, memory, known, trace)
        else:
            logits = aggregation_logits(query.frames.new_zeros(1, len(objects), *query.frames.shape[-2:]))
        given = torch.tensor([[i in here for i in objects]], device=self.device)
        if ids is not None and here:
            logits = aggregation_logits(impose(logits, self._planes(ids, objects), given))
        if memory.due(frame, given):
            memory.write(
                self._template(frame, query, logits, known | given, given), generator=generator, trace=trace
            )
        else:
            memory.skip(frame, trace)
        cut = cropped(logits, self.geometry.pad)
        if cut.shape[-2:] != self.geometry.frame:
            cut = F.interpolate(cut, size=self.geometry.frame, mode="bilinear", align_corners=False)
        return np.array([0, *objects], np.uint8)[cut[0].argmax(0).cpu().numpy()]

    @torch.no_grad()
    def template(self, frame: int, ids: Pixels, objects: list[int]) -> Template:
        """The template of a frame with known ids, for ``objects``; those not in ``ids`` are not present."""
        query = self.query(frame)
        logits = aggregation_logits(self._planes(ids, objects))
        present = torch.tensor([[bool((ids == i).any()) for i in objects]], device=self.device)
        return self._template(frame, query, logits, present, torch.zeros_like(present))

    def _template(self, frame: int, query: Query, logits: Tensor, known: Tensor, given: Tensor) -> Template:
        seen = to_memorise(self.network, logits, self.geometry.pad)
        return memorise(self.network, query, seen, frame, known, given)

    def _planes(self, ids: Pixels, objects: list[int]) -> Tensor:
        """Masks (1, O, H, W) of the padded image."""
        wanted = torch.tensor(objects, device=self.device)[:, None, None]
        full = (torch.as_tensor(ids.astype(np.int64), device=self.device)[None] == wanted).float()[None]
        return F.pad(self._resized(full, "area"), self.geometry.pad)

    def _resized(self, maps: Tensor, mode: str) -> Tensor:
        if tuple(maps.shape[-2:]) == self.geometry.small:
            return maps
        options = {} if mode == "area" else {"align_corners": False, "antialias": True}
        return F.interpolate(maps, size=self.geometry.small, mode=mode, **options)
