"""One pass of a system over a video, with all that is needed to look back."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from stremn.data.clips import Pixels
from stremn.evaluation.region import region_similarity
from stremn.explore.history import History
from stremn.explore.masks import Given, Masks
from stremn.explore.pictures import Pictures
from stremn.memory import Policy, Trace, TraceStep


@dataclass
class Run:
    """A run, complete or in progress.

    Attributes:
        name: as shown.
        objects: ids of all objects, the columns of ``j``.
        policy: the rule; None where only the trace is known.
        given: the masks that it is given; None where only the trace is known.
        start: first frame that is its own; before it another run was continued.
        trace: of the memory.
        masks: object ids (H, W) of each frame, None where they are not known.
        mattes: the probability of being an object, 0 to 255 (H, W), of each frame of a run made here.
        j: region similarity of each object in each frame, NaN where there is no truth or no object yet.
        seconds: computing time of each frame.
        history: the memory before each frame from ``start``; None where only the trace is known.
        parent: the run that was continued.
        by_hand: its memory was changed in the middle of the video: no command does the same.
    """

    name: str
    objects: list[int]
    policy: Policy | None = None
    given: Given | None = None
    start: int = 0
    trace: Trace = field(default_factory=Trace)
    masks: Masks | Sequence[Pixels] | None = field(default_factory=Masks)
    mattes: Masks = field(default_factory=Masks)
    j: list[list[float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    history: History | None = None
    parent: "Run | None" = None
    by_hand: bool = False

    @property
    def done(self) -> int:
        """Frames that are finished."""
        return len(self.j)

    def step(self, frame: int) -> TraceStep:
        """What happened in the memory at a frame."""
        return self.trace.steps[frame]

    def mean_j(self, start: int = 1) -> float:
        """Mean J of the frames from ``start``, over objects; NaN where nothing is known."""
        values = np.array(self.j[start:], float)
        return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")

    def milliseconds(self) -> float:
        """Median time of a frame of its own."""
        own = self.seconds[self.start :]
        return 1000 * float(np.median(own)) if own else float("nan")

    def kept(self) -> list[int]:
        """Frames in the memory after the last finished frame."""
        return sorted(f for f in self.trace.steps[-1].held if f >= 0) if self.done else []

    def at(self, frame: int) -> "Run":
        """The run that computed a frame: this one, or the one that it continues."""
        run = self
        while frame < run.start and run.parent is not None:
            run = run.parent
        return run

    def branch(self, name: str, frame: int, policy: Policy, given: Given | None = None) -> "Run":
        """A run that agrees with this one before ``frame``; with other masks from there on, where they are given."""
        given = given or self.given
        if not isinstance(self.masks, Masks) or self.history is None or given is None:
            raise TypeError("a run that was only read from a file cannot be continued")
        objects = given.all_objects
        column = {number: n for n, number in enumerate(self.objects)}
        return Run(
            name,
            objects,
            policy,
            given,
            frame,
            Trace(list(self.trace.steps[:frame]), dict(self.trace.about)),
            self.masks.until(frame),
            self.mattes.until(frame),
            [[row[column[i]] if i in column else math.nan for i in objects] for row in self.j[:frame]],
            self.seconds[:frame],
            History(self.history.budget),
            self,
            self.by_hand,
        )

    def equals(self, policy: Policy, given: Given) -> bool:
        """Whether a run from the beginning with this rule and these masks would be the same."""
        same = self.given is not None and self.policy == policy and self.given.same(given)
        return same and not self.by_hand


def region(ids: Pixels, truth: Pixels | None, objects: list[int], known: list[int]) -> list[float]:
    """J of each object in one frame; NaN without truth and for objects that are not yet known."""
    if truth is None:
        return [float("nan")] * len(objects)
    return [float(region_similarity(ids == i, truth == i)) if i in known else float("nan") for i in objects]


def protected(step: TraceStep, frames: tuple[int, ...]) -> TraceStep:
    """A step in which some frames could not have been evicted."""
    free = [e and f not in frames for e, f in zip(step.evictable, step.held_before, strict=False)]
    return replace(step, evictable=free)


def summary(run: Run) -> dict[str, Any]:
    """A run in numbers: mean J, milliseconds per frame, the kept frames, how many templates at most."""
    return {
        "name": run.name,
        "j": run.mean_j(),
        "ms": run.milliseconds(),
        "kept": run.kept(),
        "most": max((len(s.held) for s in run.trace.steps), default=0),
    }


def about(run: Run, pictures: Pictures, size: int | None, system: str | None) -> dict[str, Any]:
    """What the trace of a run says of it: the video, at which ``size`` it was processed, system and rule."""
    height, width = pictures.size
    assert run.policy is not None
    return {
        "video": pictures.name,
        "frames": len(pictures),
        "height": height,
        "width": width,
        "size": size,
        "system": system,
        "policy": run.policy.name,
        "slots": run.policy.slots,
        "objects": run.objects,
    } | ({"J": run.mean_j()} if math.isfinite(run.mean_j()) else {})
