"""One run over a video: frames in, outputs and trace out, or what is needed to go on later."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from stremn.data.clips import Pixels
from stremn.inference.postprocess import FarParts
from stremn.inference.stream import Stream
from stremn.segmenting.interrupt import Interrupt
from stremn.segmenting.job import Job
from stremn.segmenting.stopped import GIVEN, PROGRESS, STATE, save_stopped
from stremn.segmenting.writers import OUTPUTS, Writers

TRACE = "trace.json"
RESULTS = (*OUTPUTS.values(), TRACE, PROGRESS, STATE, GIVEN)


@dataclass(frozen=True)
class Segmented:
    """What was done.

    Attributes:
        frames: number of frames in the results.
        frame_size: their (H, W) in pixels.
        objects: ids.
        seconds: time of this run.
        out: the folder.
        finished: False: stopped before the end; ``resume_segmenting`` goes on.
        new: frames of this run.
        size: shorter side in pixels at which they were processed.
        interrupted: by Ctrl-C.
        late: frames behind the video's end for which a mask or removal was given; not used.
    """

    frames: int
    frame_size: tuple[int, int]
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
        job: what to segment and what to write.
        stream: fresh, or as it was saved.
    """

    def __init__(self, job: Job, stream: Stream) -> None:
        self.job, self.stream = job, stream
        self.before = stream.frame  # frames that an earlier run finished
        self.clean = FarParts() if job.postprocess else None

    def write_to(self, folder: Path, stop_after: int | None = None) -> Segmented:
        """Write the results into an empty folder or, when stopped, what is needed to go on.

        Args:
            folder: it has the PNGs of an earlier run, if there was one.
            stop_after: number of frames of this run after which to stop; None: at the video's end.
        """
        began = time.monotonic()
        job, stream = self.job, self.stream
        with Interrupt() as ctrl_c:
            with Writers(folder, job.write, job.frames) as writers:
                at_end = self._through(writers, ctrl_c, stop_after)
            # a camera's frames do not come again: its results are finished where it is stopped
            finished = at_end or not job.frames.repeatable
            if finished:
                writers.remove_extra()
                self._save_trace(folder / TRACE)
            else:
                writers.remove_videos()
                save_stopped(folder, job, stream)
        return Segmented(
            frames=stream.frame,
            frame_size=job.frames.size,
            objects=list(stream.object_ids),
            seconds=time.monotonic() - began,
            out=job.out,
            finished=finished,
            new=stream.frame - self.before,
            size=stream.settings.size,
            interrupted=ctrl_c.asked,
            late=self._late() if finished and not ctrl_c.asked else (),
        )

    def _through(self, writers: Writers, ctrl_c: Interrupt, stop_after: int | None) -> bool:
        """All frames, or as many as are wanted; whether the video is at its end."""
        frames = iter(enumerate(self.job.frames))
        with progress("segmenting", self.job.frames.count, self.before) as bar:
            for index, (name, frame) in frames:
                if index < self.before:
                    known = writers.rewrite(name, frame)
                    if self.clean is not None:  # it learns where the objects were
                        self.clean(known, np.unique(known).tolist())
                    continue
                ids, probabilities = self._segment(self.job.frames.start + index, frame)
                writers.write(name, frame, ids, probabilities, self.stream.object_ids)
                bar.update()
                stop = ctrl_c.asked or index + 1 - self.before == stop_after
                if stop and next(frames, None) is not None:
                    return False
        return True

    def _segment(self, number: int, frame: Pixels) -> tuple[NDArray[np.integer], NDArray[np.floating]]:
        """Ids (H, W) and probabilities (O + 1, H, W) of the video's frame ``number``."""
        for gone in self.job.given.removed.get(number, ()):
            self.stream.remove_object(gone)
        mask = self.job.given.masks.get(number)
        likely = self.stream.step(frame, mask)
        ids: NDArray[np.integer] = self.stream.ids(likely)
        probabilities = likely.numpy()
        if self.clean is not None:
            kept = self.clean(ids, () if mask is None else np.unique(mask).tolist())
            # what was dropped is background for sure
            probabilities[:, kept != ids] = 0
            probabilities[0, kept != ids] = 1
            ids = kept
        return ids, probabilities

    def _late(self) -> tuple[int, ...]:
        """Given frames that never came: a file may declare more frames than it has, or no number."""
        end, given = self.job.frames.start + self.stream.frame, self.job.given
        return tuple(sorted(frame for frame in {*given.masks, *given.removed} if frame >= end))

    def _save_trace(self, path: Path) -> None:
        if self.stream.trace is not None:
            self.stream.trace.about |= self._about()
            self.stream.trace.save(path)

    def _about(self) -> dict[str, Any]:
        """What the trace says of the run."""
        height, width = self.job.frames.size
        stream, given = self.stream, self.job.given
        about = {
            "video": self.job.frames.path.name,
            "frames": stream.frame,
            "height": height,
            "width": width,
            "size": stream.settings.size,
            "system": stream.meta["system"],
            "policy": stream.policy.name,
            "slots": stream.policy.slots,
            "objects": list(stream.object_ids),
        }
        special = {
            "start": self.job.frames.start,
            "given": sorted(given.masks) if len(given.masks) > 1 else [],
            "removed": {str(frame): ids for frame, ids in given.removed.items()},
        }
        return about | {name: value for name, value in special.items() if value}


def progress(label: str, total: int | None, done: int = 0) -> tqdm:
    """A bar of frames with rate and time left; in a log file it is shown from ten seconds on."""
    quiet = 0 if sys.stderr.isatty() else 10
    return tqdm(total=total, initial=done, desc=label, unit="frame", delay=quiet, mininterval=max(0.1, quiet))
