"""``stremn explore``. Everything heavy is imported when it runs."""

from pathlib import Path
from typing import Annotated, Any

import typer

from stremn.commands.options import Checkpoint, Device, NoBrowser, Plugin, Port, Slots
from stremn.errors import InputError

Video = Annotated[
    Path | None,
    typer.Argument(
        metavar="[VIDEO]", help="A video file or a folder of images; without it a generated clip."
    ),
]
Mask = Annotated[
    Path | None,
    typer.Option(metavar="PNG", help="Mask of the first frame; without one it is drawn in the page."),
]
Truth = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of true masks, one for each frame.")]
TraceName = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="A trace: DIR of `stremn segment`, a file of the stage memory, or runs:/RUN/ARTIFACT.",
    ),
]
Policy = Annotated[str | None, typer.Option(help="Rule of the memory, see `stremn segment`.")]
Size = Annotated[
    int | None, typer.Option(min=16, metavar="PIXELS", help="Shorter side at which frames are processed.")
]
Predictor = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Weights of a predictor, for the tab Prediction.")
]


def explore(
    video: Video = None,
    mask: Mask = None,
    truth: Truth = None,
    trace: TraceName = None,
    checkpoint: Checkpoint = None,
    policy: Policy = None,
    plugin: Plugin = None,
    slots: Slots = 6,
    size: Size = None,
    device: Device = "cpu",
    predictor: Predictor = None,
    port: Port = None,
    no_browser: NoBrowser = False,
) -> None:
    """Look into the memory in the browser: what it keeps, where it reads, what if it kept something else.

    Serves a page on this machine only, with a token as Jupyter does, until Ctrl-C. The same explorer is in
    `notebooks/explore/memory.ipynb`.

    Examples:

    `stremn explore dog.mp4 --mask dog.png`

    `stremn explore dog.mp4 --trace results/dog`
    """
    paths = {"video": video, "mask": mask, "truth": truth}
    paths |= {"checkpoint": checkpoint, "predictor": predictor, "plugin": plugin}
    _check_files(paths)
    arguments: dict[str, Any] = {name: path and str(path.resolve()) for name, path in paths.items()}
    arguments["trace"] = _find_trace(trace)
    arguments["folder"] = str(Path.cwd())  # the page's own is another

    from stremn.device import choose
    from stremn.explore.page import serve
    from stremn.inference.open import policy_of
    from stremn.inference.settings import StreamSettings

    settings = StreamSettings(policy=policy, slots=slots, size=size, device=choose(device))
    policy_of(settings.model_copy(update={"plugin": plugin}))  # a wrong rule is told before the page opens
    serve({**arguments, **settings.model_dump(exclude_defaults=True)}, port=port, browser=not no_browser)


def _check_files(paths: dict[str, Path | None]) -> None:
    """Files that are named exist, the video opens, and the mask fits it."""
    from stremn.data.video import first_mask, open_frames

    video, mask = paths["video"], paths["mask"]
    if video is None and (mask is not None or paths["truth"] is not None):
        raise InputError("expected a video with the mask or the truth, found none: name it first")
    if video is not None:
        frames = open_frames(video, [] if mask is None else [mask])
        if mask is not None:
            first_mask(mask, frames)
    for name, path in paths.items():
        if path is not None and not path.exists():
            raise InputError(f"expected a file for {name} at {path}, found nothing there")


def _find_trace(name: str | None) -> str | None:
    """The file of a trace that can be read."""
    if name is None:
        return None
    from stremn.explore.tracefile import find_trace
    from stremn.memory import Trace

    path = find_trace(name).resolve()
    Trace.load(path)
    return str(path)
