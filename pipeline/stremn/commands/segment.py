"""``stremn segment``. Everything heavy is imported when it runs."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stremn.commands.options import Overwrite, Plugin, Slots
from stremn.errors import InputError

if TYPE_CHECKING:
    from stremn.segmenting.segment_run import Segmented

WITH_RESUME = {"resume", "video", "checkpoint", "device", "stop", "stop_after", "plugin"}
WITH_GRAB = {"grab", "camera"}
SIGNALLED = 128  # and the number of the signal: exit code after Ctrl-C (130), SIGTERM (143), SIGHUP (129)

Video = Annotated[
    Path | None,
    typer.Argument(
        metavar="VIDEO_OR_FOLDER",
        help="A video file, or a folder of images in natural order, turned as EXIF says.",
    ),
]
Masks = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PNG",
        help="Mask of the first frame, of its size: white, or any one colour, on black for one object. Several: "
        "DAVIS's colours, a palette PNG with black as index 0 (id = index), or grey 0, 1, 2, … A line says how "
        "it was read where that is not the only way. More, for objects that appear later or to correct: "
        "FRAME:PNG, or a folder of masks with the names of frames (00040.png). May be repeated.",
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
        help="What to write, with commas: masks (object ids; palette PNGs, whose colours other programs may turn "
        "into greys), binary (black-and-white PNGs, 0 and 255), overlay (video), matte (probability as grey "
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
        "first_and_previous, most_similar, similar_pair, redundancy, learned_redundancy, rmem, readmem, first, "
        "previous, every_n; of single features: lfu, lfu_softmax, learned_features, similar_features. Without "
        "it that of --plugin, else the network's own: learned, or every_n (STM, STCN)."
    ),
]
Every = Annotated[int, typer.Option(min=1, help="Period in frames of every_n and of rules on features.")]
Size = Annotated[
    int | None,
    typer.Option(
        min=16,
        metavar="PIXELS",
        help="Shorter side at which frames are processed, at most their native size; without it the "
        "checkpoint's, else 240. Larger sees more and takes longer; masks always have the frames' size.",
    ),
]
MultiScale = Annotated[
    bool,
    typer.Option("--multi-scale", help="Average 4 sizes, each also mirrored: 8 to 14 times the work."),
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
Try = Annotated[
    bool,
    typer.Option(
        "--try",
        help="Only try two or three sizes and two rules on the first 20 frames: a table, the pictures side by side in "
        "DIR/try.png, and the command that goes on.",
    ),
]
Resume = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Go on with a stopped run; only VIDEO, --checkpoint, --device, --plugin, "
    "--stop, --stop-after may be added."),
]  # fmt: skip


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
    plugin: Plugin = None,
    slots: Slots = 6,
    every: Every = 5,
    size: Size = None,
    multi_scale: MultiScale = False,
    postprocess: Postprocess = False,
    precision: Precision = "auto",
    device: Device = None,
    objects: Count = None,
    stop_after: StopAfter = None,
    try_: Try = False,
    resume: Resume = None,
    overwrite: Overwrite = False,
) -> None:
    """Follow objects through a video, given their mask in the first frame.

    Writes `DIR/masks/*.png` (object ids, in the colours of DAVIS), `DIR/overlay.mp4`, `DIR/trace.json`
    (what happened in the memory), and `DIR/confidence.csv` with its curve `confidence.png`: how far each
    object can be trusted in each frame, without truth; a line says which may be lost.
    The video is read frame by frame, so that its length does not matter.
    Ctrl-C and SIGTERM stop, and save the state of the memory in DIR; `--resume DIR` goes on to the same masks.
    A damaged frame or a full disk stop it, too: what is done is kept.

    Examples:

    `stremn segment dog.mp4 --mask dog.png --out results/dog`

    `stremn segment street.mp4 --mask first.png --mask 40:later.png --remove 60:2 --out street --write masks,matte`

    `stremn segment frames/ --mask first.png --out stcn --system stcn --checkpoint stcn.pth --device cuda`

    `stremn segment dog.mp4 --mask dog.png --out results/dog --try`

    `stremn segment --resume results/dog`
    """
    if resume is not None:
        _only(context, WITH_RESUME, "--resume")
        from stremn.segmenting.segment_video import resume_segmenting

        return _report(
            resume_segmenting(
                resume,
                video=video,
                checkpoint=checkpoint,
                device=device,
                stop=stop,
                stop_after=stop_after,
                plugin=plugin,
            )
        )
    if grab is not None:
        _only(context, WITH_GRAB, "--grab")
        from stremn.segmenting.sources import save_picture

        height, width = save_picture(camera or "0", grab)
        return print(f"{width}x{height} pixels: {grab}")
    if (video is None) == (camera is None):
        found = "none" if video is None else "both"
        raise InputError(f"expected either VIDEO_OR_FOLDER or --camera, found {found}")
    if out is None:
        raise InputError("expected a folder for the results, found none: add --out DIR")
    if not mask:
        raise InputError("expected a mask of the first frame, found none: add --mask FIRST.png")

    from stremn.data.video import open_frames
    from stremn.inference.settings import StreamSettings
    from stremn.segmenting.segment_video import segment_video
    from stremn.segmenting.sources import Webcam
    from stremn.segmenting.user_masks import mask_paths, parse_mask_files, parse_removals

    removed = parse_removals(remove or [])
    frames = open_frames(video, mask_paths(mask)) if video is not None else Webcam(str(camera))
    # options that have a settings field's name become it; not given, it keeps its default
    chosen = {name: value for name, value in context.params.items() if value is not None}
    settings = StreamSettings(**{n: v for n, v in chosen.items() if n in StreamSettings.model_fields})
    common: dict[str, Any] = {
        "remove": removed,
        "start": start,
        "stop": stop,
        "objects": objects,
        "multi_scale": multi_scale,
        "postprocess": postprocess,
        "overwrite": overwrite,
        "settings": settings,
    }
    masks = parse_mask_files(mask, frames, start)
    if try_:
        from stremn.commands.segment_try import report_trials
        from stremn.segmenting.outputs import PAGE
        from stremn.segmenting.trial import try_settings

        return report_trials(context, try_settings(frames, masks, out, **common), out / PAGE)
    return _report(segment_video(frames, masks, out, write=write, stop_after=stop_after, **common))


def _report(done: "Segmented") -> None:
    """Tell what was done; exit as after a signal where that stopped it."""
    from stremn.data.pictures import size_text

    what = (
        f"{done.frames} frames of {size_text(done.frame_size)} (processed at a shorter side of {done.size}), "
        f"object{'s' * (len(done.objects) > 1)} {', '.join(map(str, done.objects))}, "
        f"{done.new / done.seconds:.1f} frames/s: {done.out}"
    )
    if not done.finished:
        print(f"stopped after {what}\ngo on with: stremn segment --resume {done.out}")
        if done.signal:
            raise typer.Exit(SIGNALLED + done.signal)
        return
    print(what)
    for number, frame in done.lost.items():
        print(f"object {number} may be lost from frame {frame} on: see {done.out / 'confidence.png'}")
    if done.late:
        print(
            f"warning: expected frame {', '.join(map(str, done.late))}, for which a mask or removal is given, "
            f"found the end after {done.frames} frames: not used",
            file=sys.stderr,
        )


def _only(context: typer.Context, allowed: set[str], option: str) -> None:
    """Refuse every option but ``allowed``."""
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
