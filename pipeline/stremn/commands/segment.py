"""``stremn segment``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from stremn.data.clips import Pixels
from stremn.data.video import by, open_frames
from stremn.errors import InputError
from stremn.files import replacing
from stremn.segmenting.excerpt import Camera, Excerpt
from stremn.segmenting.given import mask_files, read_given, removals
from stremn.segmenting.renditions import chosen


@dataclass(frozen=True)
class Told:
    """What to tell the user, whether Ctrl-C stopped the work before its end, and a warning."""

    text: str
    interrupted: bool = False
    warning: str = ""


def segment(
    video: Path | None,
    masks: Sequence[str],
    out: Path | None,
    *,
    camera: str | None = None,
    remove: Sequence[str] = (),
    start: int = 0,
    stop: int | None = None,
    write: str = "masks,overlay",
    objects: int | None = None,
    **settings: Any,
) -> Told:
    """Segment a video or a camera's picture. The cheap checks come before PyTorch is loaded.

    Args:
        settings: see ``segmenting.segment_video.segment_video``; so are the others.
    """
    if (video is None) == (camera is None):
        raise InputError(
            "expected either VIDEO_OR_FOLDER or --camera, found " + ("none" if not video else "both")
        )
    if out is None:
        raise InputError("expected a folder for the results, found none: add --out DIR")
    if not masks:
        raise InputError("expected a mask of the first frame, found none: add --mask FIRST.png")
    kinds, removed = chosen(write), removals(remove)
    whole = Camera(camera) if camera is not None else open_frames(str(video))
    frames = Excerpt(whole, start, stop)
    given = read_given(mask_files(masks, whole, start), removed, frames, objects=objects)

    from stremn.segmenting.segment_video import segment_video

    return _told(segment_video(frames, given, out, write=kinds, **settings), frames.size)


def resume(
    folder: Path,
    *,
    video: Path | None = None,
    checkpoint: Path | None = None,
    device: str | None = None,
    stop_after: int | None = None,
) -> Told:
    """Go on with a stopped run, see ``segmenting.segment_video.resume_segmenting``."""
    from stremn.segmenting.segment_video import resume_segmenting

    done = resume_segmenting(folder, video=video, checkpoint=checkpoint, device=device, stop_after=stop_after)
    return _told(done)


def grab(camera: str, path: Path) -> Told:
    """Write one picture of a camera as PNG, to draw a first mask on."""
    if path.exists():
        raise InputError(f"expected a new file for the picture, found {path}; choose another name")
    picture: Pixels = Camera(camera).first()
    try:
        with replacing(path) as scratch:
            Image.fromarray(picture).save(scratch, format="PNG")
    except OSError as error:
        raise InputError(f"expected to write {path}, could not: {error.strerror}") from None
    return Told(f"{by(picture.shape)} pixels: {path}")


def _told(done: Any, size: tuple[int, int] | None = None) -> Told:
    """The last line of a run, given a ``Segmented``."""
    ids = ", ".join(map(str, done.objects))
    shown = "" if size is None else f" of {by(size)}"
    rate = f"{done.new / done.seconds:.1f} frames/s"
    text = (
        f"{done.frames} frames{shown} (looked at with a shorter side of {done.size}), "
        f"object{'s' * (len(done.objects) > 1)} {ids}, {rate}: {done.out}"
    )
    if done.finished:
        return Told(text, warning=_warned(done))
    return Told(f"stopped after {text}\ngo on with: stremn segment --resume {done.out}", done.interrupted)


def _warned(done: Any) -> str:
    """About masks and removals that came too late."""
    if not done.late:
        return ""
    return (
        f"expected frame {', '.join(map(str, done.late))}, for which a mask or removal is given, found the end "
        f"after {done.frames} frames: not used"
    )
