"""``explorer(…)``: from files to the widget, for the notebook and for the page."""

from pathlib import Path
from typing import Any

from stremn.data.clips import Clip, read_mask
from stremn.explore.masks import MaskFolder
from stremn.explore.prediction import Predictions
from stremn.explore.session import Session
from stremn.explore.tracefile import open_trace
from stremn.explore.widget import Explorer
from stremn.generate.procedural import ClipSettings, make_clip

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
    checkpoint: Path | str | None = None,
    system: str = "stremn",
    rule: str | None = None,
    slots: int = 6,
    size: int | None = None,
    device: str = "cpu",
    predictor: Path | str | None = None,
    clip: int = 13,
) -> Explorer:
    """The explorer of a video, of a trace, or of a generated clip where neither is named.

    Args:
        video: a video file or a folder of images.
        mask: ids of its first frame (PNG), 255 beside others is void; without one it can be drawn.
        truth: folder of true masks, one for each frame.
        trace: a trace file, a folder of ``stremn segment``, or ``runs:/<MLflow run>/<artifact>``.
        checkpoint, system, rule, slots, size, device: see ``stremn.open_stream``.
        predictor: weights of a predictor, for the tab "prediction".
        clip: number of the generated clip.

    Raises:
        InputError: a file that is not there or is something else.
    """
    options: dict[str, Any] = {
        "system": system, "checkpoint": checkpoint, "rule": rule, "slots": slots, "size": size, "device": device
    }  # fmt: skip
    if trace is not None and (video is None or mask is None):
        session = open_trace(trace, video)
    elif video is None:
        made = example(clip)
        session = Session.open(made.frames, truth=made.masks, **options)
    else:
        true = None if truth is None else MaskFolder(Path(truth))
        session = Session.open(video, None if mask is None else read_mask(mask), truth=true, **options)
    shown = Explorer(
        session, None if predictor is None else Predictions(session.pictures, predictor, device=device)
    )
    if trace is not None and session.network is not None:
        open_trace(trace, into=session)
    return shown
