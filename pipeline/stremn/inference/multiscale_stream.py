"""A stream with multi-scale and flip testing (STReMN-MS): ``Stream``'s interface over several passes.

Letters: O objects, H W pixels.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stremn.errors import InputError
from stremn.inference.multiscale import Passes
from stremn.inference.settings import StreamSettings
from stremn.inference.stream import Stream
from stremn.memory import FeatureState, MemoryState, Policy


class MultiScaleStream(Stream):
    """A video in progress, seen at several scales. The interface of ``Stream``, except that it cannot be saved.

    Args:
        network, policy, meta: see ``Stream``.
        settings: as there, and ``scales`` and ``flip``, see ``Passes``; scale 1 is the frame at ``size``.
    """

    can_save = False

    def __init__(
        self,
        network: nn.Module,
        policy: Policy,
        meta: dict[str, Any],
        settings: StreamSettings | None = None,
    ) -> None:
        super().__init__(network, policy, meta, settings)
        self.passes = Passes(self._net, policy, self.settings.scales, self.settings.flip, self.trace)

    @property
    def memory(self) -> MemoryState | FeatureState:
        """The first scale's memory (its mirrored view is a second clip)."""
        return self.passes.state

    @torch.inference_mode()
    def step(self, frame: NDArray[np.uint8], mask: NDArray[np.integer] | None = None) -> Tensor:
        """Segment the next frame; arguments, result and errors as of ``Stream.step``."""
        image, given_HW = self._checked(frame, mask)
        given_ids = [] if given_HW is None else [i for i in np.unique(given_HW).tolist() if i != 0]
        seen, new = self._known(given_ids)
        self.passes.add_objects(new)
        ids = torch.tensor(self.object_ids, device=self.device)[:, None, None]
        pixels = np.zeros(frame.shape[:2], np.int64) if given_HW is None else given_HW.astype(np.int64)
        masks = (torch.as_tensor(pixels, device=self.device)[None] == ids).float()[None]
        logits = self.passes.step(
            self._resized(image, "bilinear"),
            self._resized(masks, "area"),
            self.frame,
            seen_BO=seen,
            given_BO=torch.tensor([[i in given_ids for i in self.object_ids]], device=self.device),
            generator=self._generator,
        )
        self.frame += 1
        return self._probabilities(logits, frame.shape[:2])

    def _forget(self, row: int) -> None:
        for one in self.passes.passes:
            one.memory.forget(row)

    def save(self, path: str | Path) -> None:
        """Not there: raises InputError."""
        raise InputError(f"expected a stream of one scale to save to {path}, found {len(self.passes.passes)}")
