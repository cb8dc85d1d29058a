"""Looking into a run: its memory before any frame, and where a pixel reads in it.

Letters: C channels, n query positions, h w feature map.
"""

import threading
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stremn.data.clips import Pixels
from stremn.errors import InputError
from stremn.explore import edits
from stremn.explore.engine import Engine
from stremn.explore.heat import Heat, heat_maps
from stremn.explore.runs import Run
from stremn.memory import Memory

MOST = 4000  # pixels of an object that are looked up on the feature map


class MemoryViewer:
    """What is in the memory of an engine's runs; the last memory is kept, since clicks ask for it again.

    Args:
        engine: what computed the runs.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._remembered: tuple[Any, ...] = (None, 0, None)
        self._lock = threading.Lock()  # the browser asks while a run goes on

    def memory(self, run: Run, frame: int) -> tuple[Memory, torch.Generator]:
        """The memory of a run before ``frame``, a copy, and the generator as it was then."""
        run = run.at(frame)
        assert run.history is not None and run.policy is not None and run.given is not None
        generator = torch.Generator(self.engine.device)
        with self._lock:
            who, when, found = self._remembered
            if who is run and when == frame and run.done > frame:
                generator.set_state(found[1])
                return edits.fitted(found[0], found[0].policy), generator
            at = run.history.nearest(frame)
            memory = run.history.restore(at, run.policy, generator)
            for between in range(at, frame):
                self.engine.step(between, run.given, memory, generator)
            self._remembered = (run, frame, (memory, generator.get_state()))
            return edits.fitted(memory, memory.policy), generator

    def heat(self, run: Run, frame: int, x: float, y: float, *, whole: bool = False) -> Heat:
        """See ``Session.heat``."""
        if not 0 < frame < run.done:
            raise InputError(f"expected a frame of 1 to {run.done - 1}, which was read, found {frame}")
        memory, _ = self.memory(run, frame)
        ids = run.masks[frame] if whole and run.masks is not None else None
        network = self.engine.network
        query_nC = self._query(frame, x, y, ids)
        return heat_maps(memory.state, query_nC, affinity=network.affinity, top_k=network.top_k)

    def _query(self, frame: int, x: float, y: float, ids: Pixels | None) -> Tensor:
        """Query keys (n, C) at pixel (x, y); with ids (H, W) of all positions that have its id."""
        key_Chw = self.engine.key(frame)[0]
        size = (key_Chw.shape[1], key_Chw.shape[2])
        geometry = self.engine.geometry
        row, column = geometry.position(x, y, size)
        if ids is None:
            return key_Chw[:, row, column][None]
        inside_hw = torch.zeros(size, dtype=torch.bool)
        rows, columns = np.nonzero(ids == ids[int(y), int(x)])
        step = max(1, len(rows) // MOST)
        for r, c in zip(rows[::step].tolist(), columns[::step].tolist(), strict=True):
            inside_hw[geometry.position(c, r, size)] = True
        inside_hw[row, column] = True
        return key_Chw[:, inside_hw].T
