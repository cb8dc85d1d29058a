"""Traces of finished runs: files of ``stremn segment``, of the pipeline's stages, and of MLflow runs.

The file is the ``stremn-trace`` of ``memory.trace``. What belongs to it (frames, masks, ground truth) is looked
for where these programs put it, and is read picture by picture when it is seen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from stremn.data.clips import IMAGES, MASKS, Pixels
from stremn.data.frames import DIGITS, FOLDER_RATE, Frames
from stremn.errors import InputError
from stremn.explore.masks import MaskFolder
from stremn.explore.pictures import PartPictures, Pictures, pictures
from stremn.explore.runs import Run, region
from stremn.explore.session import Session
from stremn.memory import Trace, TraceStep
from stremn.settings import Settings

RUNS = "runs:/"
MOST_GAPS = 100_000  # frames of which a trace says nothing
SCORED_AT_ONCE = 200  # frames; longer videos are opened without J, as that would read every mask
MOST_SIDE = 8192  # pixels of a frame that is only said to be there
NOTHING = 225  # grey of a picture that is not there


@dataclass(frozen=True)
class Companions:
    """Files that belong to a trace; None where there are none.

    Attributes:
        frames: video file or folder of images.
        masks: folder of the run's masks.
        truth: folder of true masks.
    """

    frames: Path | None = None
    masks: Path | None = None
    truth: Path | None = None


class About(Settings):
    """What a trace says of itself, as far as it is shown."""

    height: int | None = Field(default=None, ge=1, le=MOST_SIDE)
    """Of the frames."""
    width: int | None = Field(default=None, ge=1, le=MOST_SIDE)
    """Of the frames."""
    clip: str | None = None
    """Name of the video."""
    policy: str | None = None
    """Rule of the memory."""
    rule: str | None = None
    """The same, in the pipeline's traces."""
    slots: int | None = None
    """K."""
    objects: tuple[Annotated[int, Field(ge=0, le=65535)], ...] | None = Field(default=None, max_length=1000)
    """Ids."""


class NoFrames(Frames):
    """As many grey frames as a trace has, by number."""

    def __init__(self, count: int, size: tuple[int, int], name: str) -> None:
        self.path, self.size, self.rate, self.count = Path(name), size, FOLDER_RATE, count

    def _read(self) -> Iterator[tuple[str, Pixels]]:
        for number in range(self.count or 0):
            yield f"{number:0{DIGITS}d}", np.full((*self.size, 3), NOTHING, np.uint8)


class NoPictures(Pictures):
    """As many grey pictures as a trace has frames, where its video is not at hand."""

    blank = True

    def __init__(self, count: int, size: tuple[int, int], name: str) -> None:
        super().__init__()
        self._count, self.size, self.name = count, size, name
        self.frames = NoFrames(count, size, name)

    def __len__(self) -> int:
        return self._count

    def again(self) -> Pictures:
        return self

    def _load(self, number: int) -> Pixels:
        return np.full((*self.size, 3), NOTHING, np.uint8)


def find_trace(name: Path | str, root: Path | None = None) -> Path:
    """The file of a trace: a path, or ``runs:/<MLflow run>/<artifact>`` in the project's local store.

    Args:
        root: the project's folder, for the store; default: the working folder.

    Raises:
        InputError: no such file.
    """
    text = str(name)
    if text.startswith(RUNS) or text.startswith("runs:"):
        run, _, artifact = text.removeprefix("runs:").lstrip("/").partition("/")
        path = (root or Path.cwd()) / "mlartifacts" / run / "artifacts" / artifact
    else:
        path = Path(name)
        path = path / "trace.json" if path.is_dir() else path
    if not path.is_file():
        raise InputError(f"expected a trace file at {path}, found none; download it first if it is remote")
    return path


def companions(path: Path) -> Companions:
    """What lies beside a trace: of ``stremn segment``, or of the stage ``memory`` of the pipeline."""
    path = path.resolve()
    if (path.parent / "masks").is_dir():
        video = path.parent / "overlay.mp4"
        return Companions(video if video.is_file() else None, path.parent / "masks")
    parts, clip = path.parts, path.stem
    if len(parts) < 7 or parts[-3] != "traces" or parts[-4] != "memory" or parts[-6] != "runs":
        return Companions()
    rule, profile, data = parts[-2], parts[-5], Path(*parts[:-6])
    predicted = data / "runs" / profile / "evaluate_vos" / "predictions" / rule / clip
    for split in ("test", "val", "train"):
        clips = data / "prepared" / profile / "vos" / split
        if (clips / IMAGES / clip).is_dir():
            truth = clips / MASKS / clip
            return Companions(
                clips / IMAGES / clip,
                predicted if predicted.is_dir() else None,
                truth if truth.is_dir() else None,
            )
    return Companions(masks=predicted if predicted.is_dir() else None)


def open_trace(
    name: Path | str,
    video: Path | str | None = None,
    *,
    into: Session | None = None,
    root: Path | None = None,
) -> Session:
    """A session that shows a trace; nothing is computed, no picture is read yet.

    Args:
        video: the frames, where they are not beside the trace.
        into: a session of the same video that the trace is added to as a run.

    Raises:
        InputError: not a trace, one without a frame, or a video of another length.
    """
    path = find_trace(name, root)
    trace = Trace.load(path)
    steps = whole(trace)
    about = About.parse(
        {name: value for name, value in trace.about.items() if name in About.model_fields}, str(path)
    )
    beside = companions(path)
    size = (about.height or 120, about.width or 160)
    drawn = beside.frames is not None and beside.frames.name == "overlay.mp4" and video is None
    if into is not None:
        shown = into.pictures
    elif video is not None or beside.frames is not None:
        shown = pictures(Path(video) if video is not None else beside.frames)  # type: ignore[arg-type]
        if video is not None and trace.about.get("start"):  # the trace counts from the first segmented frame
            shown = PartPictures(shown, int(trace.about["start"]))
    else:
        shown = NoPictures(len(steps), size, about.clip or path.stem)
    if len(shown) < len(steps):
        raise InputError(
            f"expected a video of {len(steps)} frames as the trace, found {len(shown)}; name another"
        )
    masks = None if beside.masks is None or drawn else MaskFolder(beside.masks)
    truth = None if beside.truth is None else MaskFolder(beside.truth)
    session = into or Session(None, shown, truth=truth)
    session.add(_run(about, replace(trace, steps=steps), masks, session.truth, path))
    return session


def whole(trace: Trace) -> list[TraceStep]:
    """One step for each frame from 0 on, of the first clip and decision row; gaps hold what was held before.

    Raises:
        InputError: no step at all.
    """
    if not trace.steps:
        raise InputError("expected a trace with at least one frame, found an empty one")
    first = trace.steps[0]
    last = max(step.frame for step in trace.steps)
    if last > MOST_GAPS + 100 * len(trace.steps):
        raise InputError(
            f"expected a trace without long gaps, found frame {last} and {len(trace.steps)} steps"
        )
    own = {s.frame: s for s in trace.steps if (s.clip, s.row) == (first.clip, first.row)}
    steps: list[TraceStep] = []
    for frame in range(max(own) + 1):
        held = steps[-1].held if steps else []
        gap = TraceStep(
            0, 0, frame, "skip", held, held, [frame - f for f in held], None, [], None, None, None
        )
        steps.append(own.get(frame, gap))
    return steps


def _run(
    about: "About",
    trace: Trace,
    masks: MaskFolder | None,
    truth: Sequence[Pixels] | Pixels | None,
    path: Path,
) -> Run:
    steps = trace.steps
    rule = about.policy or about.rule or "trace"
    objects = list(about.objects or ())
    if not objects and truth is not None:
        objects = [i for i in np.unique(np.asarray(truth[0])).tolist() if i not in (0, 255)]
    run = Run(f"{rule} ({path.name})", objects, trace=trace, masks=masks)
    scored = masks is not None and truth is not None and len(steps) <= SCORED_AT_ONCE
    for frame in range(len(steps)):
        known = scored and masks is not None and truth is not None and frame < min(len(masks), len(truth))
        ids = masks[frame] if known and masks is not None else np.zeros((1, 1), np.uint8)
        true = np.asarray(truth[frame]) if known and truth is not None else None
        run.j.append(region(ids, true, objects, objects))
    return run
