"""One run over a video: frames in, renditions and trace out, or what is needed to go on later."""

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from stremn.data.clips import Pixels
from stremn.inference.postprocess import FarParts
from stremn.inference.stream import Stream
from stremn.segmenting.excerpt import Camera, Excerpt
from stremn.segmenting.given import Given
from stremn.segmenting.interrupt import Interrupt
from stremn.segmenting.outputs import output_folder
from stremn.segmenting.renditions import NEEDS, RENDITIONS, Renditions, bring_pictures
from stremn.segmenting.stopped import GIVEN, PROGRESS, STATE, Job, save_stopped

TRACE = "trace.json"
RESULTS = (*RENDITIONS.values(), TRACE, PROGRESS, STATE, GIVEN)


@dataclass(frozen=True)
class Segmented:
    """What was done.

    Attributes:
        frames: number of frames in the results.
        objects: their ids.
        seconds: time of this run.
        out: the folder.
        finished: False: stopped before the end; ``resume_segmenting`` goes on.
        new: frames of this run.
        size: shorter side at which they were looked at.
        interrupted: by Ctrl-C.
        late: frames behind the video's end for which a mask or removal was given; not used.
    """

    frames: int
    objects: list[int]
    seconds: float
    out: Path
    finished: bool
    new: int
    size: int | None
    interrupted: bool
    late: tuple[int, ...] = ()


class SegmentRun:
    """A stream on its way through a video, from the start or from where it was stopped.

    Args:
        stream: fresh, or as it was saved.
        frames: the part of the video.
        given: masks and removals.
        job: what to write, and how far it was done.
    """

    def __init__(self, stream: Stream, frames: Excerpt, given: Given, job: Job) -> None:
        self.stream, self.frames, self.given, self.job = stream, frames, given, job
        self.clean = FarParts() if job.postprocess else None
        self.done = job.done

    def to(self, out: Path, stop_after: int | None, overwrite: bool) -> Segmented:
        """Write the results, or, when stopped, what is needed to go on."""
        began, before, job = time.monotonic(), self.done, self.job
        saves = self.stream.can_save and seen_again(self.frames)
        with output_folder(out, RESULTS, overwrite=overwrite) as scratch:
            if before:
                bring_pictures(out, scratch, RENDITIONS.values())
            with Interrupt(saves or not seen_again(self.frames)) as ctrl_c:
                with Renditions(scratch, job.write, self.frames.rate) as results:
                    finished = self._through(results, ctrl_c, stop_after)
                if finished or not saves:
                    finished = True
                    self._complete(scratch, results)
                else:
                    for kind in NEEDS:
                        (scratch / RENDITIONS[kind]).unlink(missing_ok=True)
                    job = replace(job, done=self.done)
                    save_stopped(scratch, job, self.frames, self.given, self.stream)
        return Segmented(
            self.done,
            list(self.stream.object_ids),
            time.monotonic() - began,
            out,
            finished,
            self.done - before,
            self.stream.settings.size,
            ctrl_c.asked,
            () if ctrl_c.asked or not finished else self._late(),
        )

    def _through(self, results: Renditions, ctrl_c: Interrupt, stop_after: int | None) -> bool:
        """All frames, or as many as are wanted; whether the video is at its end."""
        new, frames = 0, iter(enumerate(self.frames))
        with progress("segmenting", self.frames.count, self.done) as bar:
            for number, (name, frame) in frames:
                if number < self.job.done:
                    ids = results.repeat(name, frame)
                    if self.clean is not None:  # it learns where the objects were
                        self.clean(ids, np.unique(ids).tolist())
                else:
                    self._frame(self.frames.start + number, name, frame, results)
                    new += 1
                    bar.update()
                    if (ctrl_c.asked or new == stop_after) and next(frames, None) is not None:
                        return False
        return True

    def _late(self) -> tuple[int, ...]:
        """Given frames that never came: a file may declare more frames than it has, or no number."""
        end = self.frames.start + self.done
        return tuple(sorted(f for f in {*self.given.masks, *self.given.removed} if f >= end))

    def _frame(self, number: int, name: str, frame: Pixels, results: Renditions) -> None:
        for one in self.given.removed.get(number, ()):
            self.stream.remove_object(one)
        mask = self.given.masks.get(number)
        likely = self.stream.step(frame, mask)
        ids: NDArray[np.integer] = self.stream.ids(likely)
        probabilities = likely.numpy()
        if self.clean is not None:
            kept = self.clean(ids, () if mask is None else np.unique(mask).tolist())
            probabilities[:, kept != ids] = 0
            probabilities[0, kept != ids] = 1
            ids = kept
        results.write(name, frame, ids, probabilities, self.stream.object_ids)
        self.done += 1

    def _complete(self, scratch: Path, results: Renditions) -> None:
        results.tidy()
        if self.stream.trace is not None:
            self.stream.trace.about |= self._about()
            self.stream.trace.save(scratch / TRACE)

    def _about(self) -> dict[str, Any]:
        height, width = self.frames.size
        stream, given = self.stream, self.given
        about = {
            "video": self.frames.path.name,
            "frames": self.done,
            "height": height,
            "width": width,
            "size": stream.settings.size,
            "system": stream.meta["system"],
            "policy": stream.policy.name,
            "slots": stream.policy.slots,
            "objects": list(stream.object_ids),
        }
        special = {
            "start": self.frames.start,
            "given": sorted(given.masks) if len(given.masks) > 1 else [],
            "removed": {str(frame): ids for frame, ids in given.removed.items()},
        }
        return about | {name: value for name, value in special.items() if value}


def progress(label: str, total: int | None, done: int = 0, unit: str = "frame") -> tqdm:
    """A bar with rate and time left; where nobody watches (a log file) it is shown from ten seconds on."""
    quiet = 0 if sys.stderr.isatty() else 10
    return tqdm(total=total, initial=done, desc=label, unit=unit, delay=quiet, mininterval=max(0.1, quiet))


def seen_again(frames: Excerpt) -> bool:
    """Whether the frames can be read a second time."""
    return not isinstance(frames.whole, Camera)
