"""A segmentation that was stopped: what its folder holds beside the masks so far, and how it is found again."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from stremn.data.clips import read_mask, write_mask
from stremn.data.video import Frames, ImageFolder, open_frames
from stremn.errors import InputError
from stremn.fingerprint import of_file, of_values
from stremn.inference.stream import Stream, resume_stream
from stremn.segmenting.excerpt import Excerpt
from stremn.segmenting.given import Given

FORMAT = "stremn-segment 1"
PROGRESS, STATE, GIVEN = "progress.json", "stream.safetensors", "given"


@dataclass(frozen=True)
class Job:
    """What decides the results, besides the stream, and how far the work is.

    Attributes:
        video: path of the video, of its frames ``start`` to ``stop`` (None: its end).
        checkpoint: path of the weights.
        write: renditions, entries of ``segmenting.renditions.RENDITIONS``.
        postprocess: far parts are dropped, see ``inference.postprocess``.
        device: where it was computed.
        done: frames that are finished.
        video_hash, checkpoint_hash: of the files' contents; empty while nothing was saved.
    """

    video: str
    checkpoint: str
    start: int = 0
    stop: int | None = None
    write: tuple[str, ...] = ()
    postprocess: bool = False
    device: str = "cpu"
    done: int = 0
    video_hash: str = ""
    checkpoint_hash: str = ""


@dataclass(frozen=True)
class Stopped:
    """A stopped run, ready to go on."""

    job: Job
    frames: Excerpt
    given: Given
    stream: Stream


def save_stopped(folder: Path, job: Job, frames: Frames, given: Given, stream: Stream) -> None:
    """Write stream, given masks and ``progress.json`` into a folder that has the PNGs so far.

    Raises:
        InputError: a stream that cannot be saved.
    """
    stream.save(folder / STATE)
    (folder / GIVEN).mkdir()
    for frame, mask in given.masks.items():
        write_mask(folder / GIVEN / f"{frame}.png", mask)
    job = replace(job, video_hash=hash_of(frames), checkpoint_hash=of_file(Path(job.checkpoint)))
    removed = {str(frame): ids for frame, ids in given.removed.items()}
    about = {"format": FORMAT, "job": asdict(job), "removed": removed}
    (folder / PROGRESS).write_text(json.dumps(about, indent=1), encoding="utf-8")


def open_stopped(
    folder: Path,
    *,
    video: Path | str | None = None,
    checkpoint: Path | str | None = None,
    device: str | None = None,
) -> Stopped:
    """A run that was stopped in ``folder``.

    Args:
        folder: its results so far.
        video: the same video at another place; None: where it was.
        checkpoint: to be sure that these are the weights that it uses; the state holds them anyway.
        device: where to compute; None: as before. Another device may give slightly other numbers.

    Raises:
        InputError: nothing to go on with, a finished run, another video or checkpoint, damaged files.
    """
    about = _about(folder)
    job = Job(**{**about["job"], "write": tuple(about["job"]["write"])})
    if checkpoint is not None and of_file(Path(checkpoint)) != job.checkpoint_hash:
        raise InputError(
            f"expected the checkpoint that {folder} was begun with ({job.checkpoint}), found another at "
            f"{checkpoint}; leave --checkpoint out, or begin anew"
        )
    whole = open_frames(video or job.video)
    if hash_of(whole) != job.video_hash:
        raise InputError(
            f"expected the video that {folder} was begun with ({job.video}), found another at {whole.path}; "
            "name the right one, or begin anew"
        )
    frames = Excerpt(whole, job.start, job.stop)
    stream = resume_stream(folder / STATE, device or job.device)
    if stream.frame != job.done:
        raise InputError(
            f"expected the state of frame {job.done} in {folder / STATE}, found that of {stream.frame}: begin anew"
        )
    masks = {int(p.stem): read_mask(p) for p in (folder / GIVEN).glob("*.png")}
    given = Given(masks, {int(frame): ids for frame, ids in about["removed"].items()})
    return Stopped(replace(job, device=device or job.device, video=str(whole.path)), frames, given, stream)


def hash_of(frames: Frames) -> str:
    """Hash of a video's content: its file's, or those of a folder's images with their names."""
    if isinstance(frames, Excerpt):
        return hash_of(frames.whole)
    if isinstance(frames, ImageFolder):
        return of_values([(file.name, of_file(file)) for file in frames.files])
    return of_file(frames.path)


def _about(folder: Path) -> dict[str, Any]:
    path = folder / PROGRESS
    if not path.is_file():
        found = "a finished one" if (folder / "trace.json").is_file() else "none"
        raise InputError(f"expected a stopped run in {folder}, found {found}: there is nothing to resume")
    try:
        about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        complete = about["format"] == FORMAT and set(about["job"]) == set(Job.__dataclass_fields__)
    except (OSError, ValueError, KeyError, TypeError):
        complete = False
    if not complete:
        raise InputError(f"expected the state of a stopped run ({FORMAT}) in {path}, found something else")
    return about
