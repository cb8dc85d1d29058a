"""The options of ``stremn segment``. Everything heavy is imported when it runs."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from stremn.errors import InputError

WITH_RESUME = {"resume", "video", "checkpoint", "device", "stop_after"}
WITH_GRAB = {"grab", "camera"}
ASKED = 130  # exit code after Ctrl-C

Video = Annotated[
    Path | None,
    typer.Argument(metavar="VIDEO_OR_FOLDER", help="A video file, or a folder of images in natural order."),
]
Masks = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PNG",
        help="Mask of the first frame, of its size: object ids in a palette PNG, or 0 and 255 for one "
        "object. More, for objects that appear later or to correct: FRAME:PNG, or a folder of masks with the "
        "names of frames (00040.png). May be repeated.",
    ),
]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for the results; new, or empty.")]
Remove = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FRAME:ID", help="Segment an object no longer, from this frame on. May be repeated."
    ),
]
Start = Annotated[int, typer.Option(min=0, metavar="FRAME", help="First frame, from 0.")]
Stop = Annotated[
    int | None,
    typer.Option(min=1, metavar="FRAME", help="Frame before which to end; without it the video's end."),
]
CameraName = Annotated[
    str | None,
    typer.Option(metavar="N", help="Instead of a video: number or name of a camera. Ctrl-C or --stop ends."),
]
Grab = Annotated[
    Path | None,
    typer.Option(metavar="PNG", help="Only write one picture of the camera, to draw the first mask on."),
]
Write = Annotated[
    str,
    typer.Option(
        metavar="KINDS",
        help="What to write, with commas: masks (object ids), overlay (video), matte (probability as grey "
        "PNGs), matte-video, object-mattes (one folder for each object), cutout (RGBA PNGs), side-by-side "
        "(video).",
    ),
]
System = Annotated[str, typer.Option(help="Network: stremn, stm or stcn.")]
Checkpoint = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Weights: ours (.safetensors), or the released file of STM or STCN; without it those that come "
        "with the package.",
    ),
]
Policy = Annotated[
    str | None,
    typer.Option(
        help="Which template the memory overwrites: learned, oldest, newest, random_drop, random_select, "
        "first_and_previous, most_similar, similar_pair, first, previous, every_n; of single features: lfu, "
        "lfu_softmax, learned_features, similar_features. Without it the network's own: learned, or every_n "
        "(STM, STCN)."
    ),
]
Slots = Annotated[int, typer.Option(min=1, help="Number of templates that the memory holds.")]
Every = Annotated[int, typer.Option(min=1, help="Period in frames of every_n and of rules on features.")]
Size = Annotated[
    int | None,
    typer.Option(
        min=16,
        metavar="PIXELS",
        help="Shorter side at which frames are looked at, at most their own; without it the "
        "checkpoint's, else 240. Larger sees more and takes longer; masks always have the frames' size.",
    ),
]
MultiScale = Annotated[
    bool,
    typer.Option(
        "--multi-scale",
        help="Average 4 sizes, each also mirrored: 8 to 14 times the work. Such a run cannot be resumed: "
        "Ctrl-C ends it without results (a camera's: with them).",
    ),
]
Postprocess = Annotated[
    bool, typer.Option("--postprocess", help="Drop parts of an object far from where it was.")
]
Precision = Annotated[
    str,
    typer.Option(
        help="Of the convolutions: auto (half on CUDA, else float32), float32, bfloat16 or float16 (CUDA)."
    ),
]
Device = Annotated[
    str | None,
    typer.Option(help="Where to compute: auto, cpu, cuda, cuda:1, …; cpu, or with --resume as before."),
]
Count = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="How many objects the masks hold at most.")
]
StopAfter = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Stop after N frames, as with Ctrl-C, to go on later.")
]
Resume = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Go on with a stopped run; only VIDEO, --checkpoint, --device, "
    "--stop-after may be added."),
]  # fmt: skip
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the results of an earlier run in DIR.")]


def segment(
    context: typer.Context,
    video: Video = None,
    mask: Masks = None,
    out: Out = None,
    remove: Remove = None,
    start: Start = 0,
    stop: Stop = None,
    camera: CameraName = None,
    grab: Grab = None,
    write: Write = "masks,overlay",
    system: System = "stremn",
    checkpoint: Checkpoint = None,
    policy: Policy = None,
    slots: Slots = 6,
    every: Every = 5,
    size: Size = None,
    multi_scale: MultiScale = False,
    postprocess: Postprocess = False,
    precision: Precision = "auto",
    device: Device = None,
    objects: Count = None,
    stop_after: StopAfter = None,
    resume: Resume = None,
    overwrite: Overwrite = False,
) -> None:
    """Follow objects through a video, given their mask in the first frame.

    Writes `DIR/masks/*.png` (object ids, in the colours of DAVIS), `DIR/overlay.mp4` and `DIR/trace.json`
    (what happened in the memory). The video is read frame by frame, so that its length does not matter.
    Ctrl-C stops, and saves the state of the memory in DIR; `--resume DIR` goes on to the same masks.

    Examples:

    `stremn segment dog.mp4 --mask dog.png --out results/dog`

    `stremn segment street.mp4 --mask first.png --mask 40:later.png --remove 60:2 --out street --write masks,matte`

    `stremn segment frames/ --mask first.png --out stcn --system stcn --checkpoint stcn.pth --device cuda`

    `stremn segment --resume results/dog`
    """
    from stremn.commands import segment as work

    if resume is not None:
        _only(context, WITH_RESUME, "--resume")
        told = work.resume(resume, video=video, checkpoint=checkpoint, device=device, stop_after=stop_after)
    elif grab is not None:
        _only(context, WITH_GRAB, "--grab")
        told = work.grab(camera or "0", grab)
    else:
        told = work.segment(
            video,
            mask or [],
            out,
            camera=camera,
            remove=remove or [],
            start=start,
            stop=stop,
            write=write,
            objects=objects,
            system=system,
            checkpoint=checkpoint,
            policy=policy,
            slots=slots,
            every=every,
            size=size,
            multi_scale=multi_scale,
            postprocess=postprocess,
            precision=precision,
            device=device or "cpu",
            stop_after=stop_after,
            overwrite=overwrite,
        )
    print(told.text)
    if told.warning:
        print(f"warning: {told.warning}", file=sys.stderr)
    if told.interrupted:
        raise typer.Exit(ASKED)


def _only(context: typer.Context, allowed: set[str], option: str) -> None:
    """Refuse what does not go with an option."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    wrong = [name for name in given if name not in allowed]
    if wrong:
        named = {
            p.name: p.metavar if p.param_type_name == "argument" else p.opts[0]
            for p in context.command.params
        }
        raise InputError(
            f"expected nothing that changes the run with {option}, found {named[wrong[0]]}: leave it out"
        )
