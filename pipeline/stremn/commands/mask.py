"""``stremn mask``. Everything heavy is imported when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from stremn.commands.options import NoBrowser, Port
from stremn.errors import InputError

Video = Annotated[
    Path,
    typer.Argument(metavar="VIDEO_OR_FOLDER", help="A video file, or a folder of images in natural order."),
]
Frame = Annotated[int, typer.Option(min=0, metavar="N", help="Frame that is shown first, from 0.")]
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="FIRST.png",
        help="File of the mask; one that is there is opened, to go on with it. Without it VIDEO_mask.png.",
    ),
]


def mask(
    video: Video, frame: Frame = 0, out: Out = None, port: Port = None, no_browser: NoBrowser = False
) -> None:
    """Draw the first mask of a video in the browser, for `stremn segment --mask`.

    A brush, polygons, boxes, several objects with names, undo; a first guess from a box or from clicks. `save mask`
    writes a palette PNG (index = id, DAVIS's colours) and shows the command that segments the video with it; nothing is
    replaced without a yes. Masks of later frames, for objects that appear later, are files of their own beside it.
    Serves a page on this machine only, with a token, until Ctrl-C.

    Examples:

    `stremn mask dog.mp4 --out dog.png`

    `stremn segment dog.mp4 --mask dog.png --out results/dog`
    """
    from stremn.data.video import given_mask, open_frames
    from stremn.explore.page import serve

    out = out or Path(f"{video.stem}_mask.png")
    if out.suffix.lower() != ".png":
        raise InputError(
            f"expected a file name that ends in .png with --out, found {out}: masks are PNG files"
        )
    if not out.absolute().parent.is_dir():
        raise InputError(f"expected a folder for {out}, found none at {out.absolute().parent}: make it first")
    frames = open_frames(video, [out])
    if out.exists():
        given_mask(out, frames)
    count = frames.counted(frame + 1)
    if count is not None and count <= frame:
        raise InputError(
            f"expected a frame of 0 to {count - 1} of {video}, found {frame}: choose one of them"
        )
    settings = {
        "video": str(video.resolve()),
        "out": str(out.resolve()),
        "frame": frame,
        "folder": str(Path.cwd()),
    }
    serve(settings, "mask", port=port, browser=not no_browser)
