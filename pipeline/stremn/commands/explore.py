"""``stremn explore``."""

from pathlib import Path
from typing import Any

from stremn.data.video import first_mask, open_frames
from stremn.errors import InputError


def explore(
    video: Path | None,
    *,
    mask: Path | None = None,
    truth: Path | None = None,
    trace: str | None = None,
    checkpoint: Path | None = None,
    policy: str | None = None,
    slots: int = 6,
    size: int | None = None,
    device: str = "cpu",
    predictor: Path | None = None,
    port: int | None = None,
    browser: bool = True,
) -> None:
    """Serve the explorer until Ctrl-C; what can be wrong with the files is told before."""
    if video is None and (mask is not None or truth is not None):
        raise InputError("expected a video with the mask or the truth, found none: name it first")
    if video is not None:
        frames = open_frames(video)
        if mask is not None:
            first_mask(mask, frames)
    if trace is not None:
        from stremn.explore.tracefile import find_trace
        from stremn.memory import Trace

        trace = str(find_trace(trace).resolve())
        Trace.load(Path(trace))
    paths = {"video": video, "mask": mask, "truth": truth, "checkpoint": checkpoint, "predictor": predictor}
    for name, path in paths.items():
        if path is not None and not path.exists():
            raise InputError(f"expected a file for {name} at {path}, found nothing there")
    from stremn.device import choose
    from stremn.models.registry import SYSTEMS
    from stremn.tasks.rules import rule_for

    rule_for(SYSTEMS["stremn"], policy, slots=slots)
    settings: dict[str, Any] = {n: None if p is None else str(p.resolve()) for n, p in paths.items()}
    settings |= {"trace": trace, "policy": policy, "slots": slots, "size": size, "device": choose(device)}

    from stremn.explore.page import serve

    serve(settings, port=port, browser=browser)
