"""One run over a video: frames in, outputs and trace out, or what is needed to go on later."""

import errno
import shutil
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from stremn.data.clips import Pixels
from stremn.errors import InputError
from stremn.figures.confidence import confidence_figure
from stremn.figures.style import save
from stremn.inference.confidence import Rating, Watch, lost_from, save_ratings
from stremn.inference.postprocess import FarParts
from stremn.inference.stream import Stream
from stremn.segmenting.interrupt import Interrupt
from stremn.segmenting.job import Job
from stremn.segmenting.outputs import PAGE, Output
from stremn.segmenting.stopped import (
    GIVEN,
    PROGRESS,
    RATINGS,
    STATE,
    ratings_before,
    remove_state,
    save_stopped,
)
from stremn.segmenting.writers import OUTPUTS, Writers

TRACE, CURVE = "trace.json", "confidence.png"
RESULTS = (*OUTPUTS.values(), TRACE, RATINGS, CURVE, PROGRESS, STATE, GIVEN, PAGE)


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
        signal: number of the signal that stopped it (Ctrl-C: 2); 0: none.
        ratings: how far each object in each frame can be trusted, those of an earlier run among them.
        late: frames behind the video's end for which a mask or removal was given; not used.
        removed: ids of the objects that were taken out.
    """

    frames: int
    frame_size: tuple[int, int]
    objects: list[int]
    seconds: float
    out: Path
    finished: bool
    new: int
    size: int | None
    signal: int
    ratings: list[Rating]
    late: tuple[int, ...] = ()
    removed: tuple[int, ...] = ()

    @property
    def lost(self) -> dict[int, int]:
        """Objects that may be lost, with the frame from which on."""
        return lost_from(self.ratings, self.removed)


class SegmentRun:
    """A stream on its way through a video, from the start or from where it was stopped.

    Args:
        job: what to segment and what to write.
        stream: fresh, or as it was saved.

    Attributes:
        done: frames whose pictures are written.
    """

    def __init__(self, job: Job, stream: Stream) -> None:
        self.job, self.stream = job, stream
        self.before = self.done = stream.frame  # frames that an earlier run finished
        self.clean = FarParts() if job.postprocess else None
        self.watch = Watch(job.frames.start)
        self.ratings: list[Rating] = []
        self._last = ""  # name of the last frame with pictures

    def write_to(self, output: Output, interrupt: Interrupt, stop_after: int | None = None) -> Segmented:
        """Write the results into an empty folder or, when stopped, what is needed to go on.

        Args:
            output: its folder has the PNGs and the state of an earlier run, if there was one. It is kept in any
                case once a new frame is finished.
            interrupt: made patient before the first new frame; until then a signal leaves an earlier run as it is.
            stop_after: number of frames of this run after which to stop; None: at the video's end.

        Raises:
            InputError: a frame that cannot be read, a result that cannot be written; it says what is kept.
        """
        began = time.monotonic()
        writers = Writers(output.folder, self.job.write, self.job.frames)
        try:
            finished = self._all(writers, interrupt, stop_after)
        except BaseException as error:
            output.keep = self.done > self.before
            told = self._rescued(writers, error) if output.keep else self._as_before(error)
            if isinstance(error, InputError | OSError):
                raise InputError(_reason(error, self.job.out) + told) from None
            if told:
                print(f"warning: {told.strip(' ;')}", file=sys.stderr)
            raise
        job, stream = self.job, self.stream
        return Segmented(
            frames=stream.frame,
            frame_size=job.frames.size,
            objects=list(stream.object_ids),
            seconds=time.monotonic() - began,
            out=job.out,
            finished=finished,
            new=stream.frame - self.before,
            size=stream.settings.size,
            signal=interrupt.asked,
            ratings=self.ratings,
            late=self._late() if finished and not interrupt.asked else (),
            removed=tuple(sorted(stream.removed)),
        )

    def _all(self, writers: Writers, interrupt: Interrupt, stop_after: int | None) -> bool:
        """Everything that is written; whether it is finished."""
        # a camera's frames do not come again: its results are finished where it stops
        repeatable, problem = self.job.frames.repeatable, None
        with writers:
            try:
                at_end = self._through(writers, interrupt, stop_after)
            except InputError as error:
                if repeatable or not self.done:
                    raise
                at_end, problem = True, error
        if not at_end and repeatable:
            writers.remove_videos()
            save_stopped(writers.folder, self.job, self.stream, self.ratings)
            return False
        self._save_trace(writers.folder / TRACE)
        save_ratings(writers.folder / RATINGS, self.ratings)
        save(confidence_figure(self.ratings, self.stream.removed), writers.folder / CURVE)
        remove_state(writers.folder)
        writers.remove_extra()
        if problem is not None:
            raise problem
        return True

    def _through(self, writers: Writers, interrupt: Interrupt, stop_after: int | None) -> bool:
        """All frames, or as many as are wanted; whether the video is at its end."""
        frames = iter(enumerate(self.job.frames))
        self.ratings = ratings_before(writers.folder, self.job.frames.start + self.before)
        with progress("segmenting", self.job.frames.count, self.before) as bar:
            for index, (name, frame) in frames:
                number = self.job.frames.start + index
                interrupt.patient = index + 1 >= self.before  # the last earlier frame may be the last of all
                if index < self.before:
                    known = writers.rewrite(name, frame)
                    if self.clean is not None:  # it learns where the objects were
                        self.clean(known, np.unique(known).tolist())
                    self.watch.forget(self.job.given.removed.get(number, ()))
                    self.watch.recall(frame, known, self.job.given.ids(number))
                    continue
                self._check_room(writers.folder, frame.nbytes)
                ids, probabilities = self._segment(number, frame)
                self._write(writers, name, frame, ids, probabilities)
                bar.update()
                stop = interrupt.asked or index + 1 - self.before == stop_after
                if stop and next(frames, None) is not None:
                    return False
        return True

    def _write(
        self,
        writers: Writers,
        name: str,
        frame: Pixels,
        ids: NDArray[np.integer],
        probabilities: NDArray[np.floating],
    ) -> None:
        """A frame's results; where the disk is full, its pictures in the room that the videos take."""
        pictures = (name, frame, ids, probabilities, self.stream.object_ids)
        problem = None
        try:
            writers.write_pictures(*pictures)
        except OSError as error:
            problem = error
            writers.remove_videos()
            writers.write_pictures(*pictures)
        self.done, self._last = self.done + 1, name
        if problem is not None:
            raise problem
        writers.write_videos(frame, ids, probabilities)

    def _check_room(self, folder: Path, frame_bytes: int) -> None:
        """Before a frame: the disk has room for it, and for the state by which the run can go on."""
        needed = self.stream.saved_bytes() + 2 * len(self.job.write) * frame_bytes
        if shutil.disk_usage(folder).free < needed:
            raise OSError(errno.ENOSPC, f"less than {needed / 1e6:.0f} MB are free")

    def _as_before(self, error: BaseException) -> str:
        """After an error before any new frame: what to tell."""
        if not self.before:
            return ""
        out, end = self.job.out, self.job.frames.start + self.before
        resume = f"stremn segment --resume {out}"
        how = (
            f"`{resume} --stop {end}` ends there"
            if isinstance(error, InputError)
            else f"go on with `{resume}`"
        )
        return f"; the {self.before} finished frames in {out} stay: {how}"

    def _rescued(self, writers: Writers, error: BaseException) -> str:
        """After an error: save the state where it is that of the last finished frame; what to tell."""
        out, job = self.job.out, self.job
        kept = f"; {self.done} finished frames are kept in {out}"
        if not job.frames.repeatable:
            return kept
        writers.remove_videos()
        saved = isinstance(error, InputError | OSError) and self.stream.frame == self.done
        if saved:
            try:
                save_stopped(writers.folder, job, self.stream, self.ratings)
            except (InputError, OSError):
                saved = False
        end = job.frames.start + self.done
        if saved and isinstance(error, InputError):
            return (
                f"{kept}: go on after that with `stremn segment --resume {out}`, or end before it with "
                f"`stremn segment --resume {out} --stop {end}`"
            )
        if saved or (writers.folder / PROGRESS).is_file():
            again = "" if saved else f" (from frame {job.frames.start + self.before})"
            return f"{kept}: go on with `stremn segment --resume {out}`{again}"
        with suppress(OSError):
            save_ratings(writers.folder / RATINGS, self.ratings)
        mask = out / OUTPUTS["masks"] / f"{self._last}.png"
        return f"{kept}, without the state of the memory: go on with --start {end - 1} --mask {mask} and another --out"

    def _segment(self, number: int, frame: Pixels) -> tuple[NDArray[np.integer], NDArray[np.floating]]:
        """Ids (H, W) and probabilities (O + 1, H, W) of the video's frame ``number``."""
        gone, given = self.job.given.removed.get(number, ()), self.job.given.ids(number)
        for one in gone:
            self.stream.remove_object(one)
        self.watch.forget(gone)
        likely = self.stream.step(frame, self.job.given.masks.get(number))
        ids: NDArray[np.integer] = self.stream.ids(likely)
        probabilities = likely.numpy()
        if self.clean is not None:
            kept = self.clean(ids, given)
            # what was dropped is background for sure
            probabilities[:, kept != ids] = 0
            probabilities[0, kept != ids] = 1
            ids = kept
        self.ratings += self.watch.rate(frame, ids, probabilities, self.stream.object_ids, given)
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


def _reason(error: InputError | OSError, out: Path) -> str:
    """One line of what went wrong."""
    if isinstance(error, InputError):
        return str(error)
    return f"expected to write to {out}, could not: {error.strerror or error}; free some space or choose another disk"
