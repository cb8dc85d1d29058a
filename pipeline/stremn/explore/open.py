"""``explorer(…)``: from files to the widget, for the notebook and for the page."""

from pathlib import Path
from typing import Any

from stremn.data.clips import Clip, read_mask
from stremn.device import choose
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
        folder: results are saved in it, and nowhere else; None: the working folder.
        settings, fields: see ``stremn.open_stream``, and ``Session.open`` for what can be set here.

    Raises:
        InputError: a file that is not there or is something else.
    """
    settings = StreamSettings.parse({**dict(settings or {}), **fields}, "explorer")
    if trace is not None and (video is None or mask is None):
        session = open_trace(trace, video)
    elif video is None:
        made = example(clip)
        session = Session.open(made.frames, truth=made.masks, settings=settings)
    else:
        true = None if truth is None else MaskFolder(Path(truth))
        first = None if mask is None else read_mask(mask)
        shown = pictures(video, without=[] if mask is None else [mask])
        session = Session.open(shown, first, truth=true, settings=settings)
    predictions = None
    if predictor is not None:
        predictions = Predictions(session.pictures, predictor, device=choose(settings.device))
    widget = Explorer(session, predictions, folder=folder)
    if trace is not None and session.network is not None:
        open_trace(trace, into=session)
    return widget
