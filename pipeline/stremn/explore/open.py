"""``explorer(…)``: from files to the widget, for the notebook and for the page."""

from pathlib import Path
from typing import Any

from stremn.data.clips import Clip, read_mask
from stremn.device import choose
from stremn.errors import InputError
from stremn.explore.drawing import Drawing
from stremn.explore.folder import Folder
from stremn.explore.masks import MaskFolder
from stremn.explore.pictures import pictures
from stremn.explore.prediction import Predictions
from stremn.explore.session import Session
from stremn.explore.tracefile import open_trace
from stremn.explore.widget import Explorer
from stremn.generate.procedural import ClipSettings, make_clip
from stremn.inference.settings import StreamSettings

EXAMPLE = ClipSettings(length=60, size=192)


def example(index: int = 13, settings: ClipSettings = EXAMPLE) -> Clip:
    """A generated clip with ground truth."""
    return make_clip(settings, "test", index)


def explorer(
    video: Path | str | None = None,
    mask: Path | str | None = None,
    *,
    truth: Path | str | None = None,
    trace: Path | str | None = None,
    predictor: Path | str | None = None,
    clip: int = 13,
    folder: Path | str | None = None,
    settings: StreamSettings | None = None,
    **fields: Any,
) -> Explorer:
    """The explorer of a video, of a trace, or of a generated clip where neither is named.

    Args:
        video: a video file or a folder of images.
        mask: ids of its first frame (PNG), 255 beside others is void; without one it can be drawn.
        truth: folder of true masks, one for each frame.
        trace: a trace file, a folder of ``stremn segment``, or ``runs:/<MLflow run>/<artifact>``.
        predictor: weights of a predictor, for the tab "prediction".
        clip: number of the generated clip.
        folder: results are saved in it, other files are opened in it, and nowhere else; None: the working folder.
        settings, fields: see ``stremn.open_stream``, and ``Session.open`` for what can be set here.

    Raises:
        InputError: a file that is not there or is something else.
    """
    settings = StreamSettings.parse({**dict(settings or {}), **fields}, "explorer")
    files = {"video": video, "mask": mask, "checkpoint": settings.checkpoint}
    named = {name: Path(path).resolve() for name, path in files.items() if path is not None}
    place = Folder(Path(folder or Path.cwd()).resolve(), tuple(named.values()))
    if trace is not None and (video is None or mask is None):
        session = open_trace(trace, video)
    else:
        session = _session(video, mask, truth, clip, settings)

    def predictions(shown: Session) -> Predictions | None:
        if predictor is None:
            return None
        return Predictions(shown.pictures, predictor, device=choose(settings.device))

    def opens(wanted: dict[str, Any]) -> tuple[Session, Predictions | None, Drawing]:
        chosen = {name: place.path(wanted[name]) for name in files if wanted[name]}
        numbers = {name: wanted[name] for name in ("size", "slots") if wanted[name]}
        checkpoint = {"checkpoint": chosen.get("checkpoint")}
        other = StreamSettings.parse({**dict(settings), "size": None, **numbers, **checkpoint}, "explorer")
        shown = _session(chosen.get("video"), chosen.get("mask"), None, clip, other)
        return shown, predictions(shown), Drawing.here(shown.pictures, place, chosen.get("video"))

    widget = Explorer(
        session,
        predictions(session),
        Drawing.here(session.pictures, place, named.get("video")),
        folder=place.root,
        opens=opens,
        opened={name: place.name(path) for name, path in named.items()}
        | {"size": settings.size, "slots": settings.slots},
    )
    if trace is not None and session.network is not None:
        open_trace(trace, into=session)
    return widget


def _session(
    video: Path | str | None,
    mask: Path | str | None,
    truth: Path | str | None,
    clip: int,
    settings: StreamSettings,
) -> Session:
    """A session of a video, or of a generated clip where none is named."""
    if video is None:
        if mask is not None:
            raise InputError("expected a video with the mask, found none: name it, too")
        made = example(clip)
        return Session.open(made.frames, truth=made.masks, settings=settings)
    true = None if truth is None else MaskFolder(Path(truth))
    first = None if mask is None else read_mask(mask)
    shown = pictures(video, without=[] if mask is None else [mask])
    return Session.open(shown, first, truth=true, settings=settings)
