"""A segmentation that was stopped: what its folder holds beside the masks so far, and how it is opened again."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from stremn.data.clips import read_mask, write_mask
from stremn.data.frames import Frames
from stremn.data.video import ImageFolder, open_frames
from stremn.data.video_file import VideoFile
from stremn.errors import InputError, warn
from stremn.files import replacing
from stremn.fingerprint import of_file, of_values
from stremn.inference.confidence import Rating, read_ratings, save_ratings
from stremn.inference.stream import Stream, resume_stream
from stremn.segmenting.job import Job
from stremn.segmenting.sources import ClipRange
from stremn.segmenting.user_masks import UserMasks
from stremn.segmenting.writers import OUTPUTS
from stremn.settings import Settings

FORMAT: Literal["stremn-segment 2"] = "stremn-segment 2"
PROGRESS, STATE, GIVEN, RATINGS = "progress.json", "stream.safetensors", "given", "confidence.csv"


class JobRecord(Settings):
    """A ``Job`` on disk, without its masks."""

    video: Path
    """The video's file or folder."""
    checkpoint: Path
    """File of the weights; the stream's state holds them, too."""
    start: int
    """First frame."""
    stop: int | None
    """Frame before which to end; None: the video's end."""
    write: tuple[str, ...]
    """Kinds of output."""
    postprocess: bool
    """Whether far parts are dropped."""
    device: str
    """Where it was computed."""
    done: int
    """Number of finished frames."""
    video_hash: str
    """Of the frames up to the last finished one: later ones may be repaired."""
    checkpoint_hash: str
    """Of the checkpoint's content."""
    without: tuple[str, ...] = ()
    """Pictures in the video's folder that are no frames."""


class Progress(Settings):
    """The content of ``progress.json``; ``removed``: ids by frame."""

    format: Literal["stremn-segment 2"]
    job: JobRecord
    removed: dict[int, list[int]]


def save_stopped(folder: Path, job: Job, stream: Stream, ratings: Sequence[Rating]) -> None:
    """Write the stream, the given masks, the ratings and ``progress.json`` into a folder that has the PNGs so far.

    Raises:
        InputError: a stream that cannot be saved.
    """
    (folder / GIVEN).mkdir(exist_ok=True)
    for frame, mask in job.given.masks.items():
        write_mask(folder / GIVEN / f"{frame}.png", mask)
    record = JobRecord(
        video=job.frames.path.resolve(),
        checkpoint=job.checkpoint.resolve(),
        start=job.frames.start,
        stop=job.frames.stop,
        write=job.write,
        postprocess=job.postprocess,
        device=stream.device,
        done=stream.frame,
        video_hash=content_hash(job.frames.whole, job.frames.start + stream.frame),
        checkpoint_hash=job.checkpoint_hash,
        without=job.frames.whole.without,
    )
    progress = Progress(format=FORMAT, job=record, removed=job.given.removed)
    save_ratings(folder / RATINGS, ratings)
    # both take their places last, one right after the other: a second Ctrl-C leaves those of the run before
    with replacing(folder / PROGRESS) as text, replacing(folder / STATE) as state:
        text.write_text(progress.model_dump_json(indent=1), encoding="utf-8")
        stream.save(state)


def copy_stopped(source: Path, target: Path) -> None:
    """Copy what a stopped run left, by hard links where the disk has them."""
    for name in (*OUTPUTS.values(), GIVEN, RATINGS, STATE, PROGRESS):
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, copy_function=_link_or_copy)
        elif (source / name).is_file():
            _link_or_copy(str(source / name), str(target / name))


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def ratings_before(folder: Path, end: int) -> list[Rating]:
    """The ratings that a stopped run kept of the frames before ``end``; none of an older version, or where damaged."""
    try:
        kept = read_ratings(folder / RATINGS) if (folder / RATINGS).is_file() else []
    except InputError:
        warn(f"{RATINGS} of the stopped run is damaged: it begins anew at frame {end}, the masks are whole")
        return []
    return [one for one in kept if one.frame < end]


def remove_state(folder: Path) -> None:
    """Remove what only a stopped run needs. For finished results."""
    for name in (PROGRESS, STATE):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / GIVEN, ignore_errors=True)


def open_stopped(
    folder: Path,
    *,
    video: Path | str | None = None,
    checkpoint: Path | str | None = None,
    device: str | None = None,
    stop: int | None = None,
    plugin: Path | str | None = None,
) -> tuple[Job, Stream]:
    """A run that was stopped in ``folder``, ready to go on.

    Args:
        folder: its results so far.
        video: the same video at another place; None: where it was.
        checkpoint: to be sure that these are the weights that it uses; the state holds them anyway.
        device: where to compute; None: as before. Another device may give slightly other numbers.
        stop: frame before which to end, at least the first that is not finished; None: as before.
        plugin: the file of rules of one's own that it was begun with.

    Raises:
        InputError: nothing to go on with, a finished run, another video or checkpoint, damaged files.
    """
    progress = _read_progress(folder)
    record = progress.job
    if checkpoint is not None and of_file(Path(checkpoint)) != record.checkpoint_hash:
        raise InputError(
            f"expected the checkpoint that {folder} was begun with ({record.checkpoint}), found another at "
            f"{checkpoint}; leave --checkpoint out, or begin anew"
        )
    stream = resume_stream(folder / STATE, device or record.device, plugin)
    if stream.frame != record.done:
        raise InputError(
            f"expected the state of frame {record.done} in {folder / STATE}, found that of {stream.frame}: "
            "begin anew"
        )
    place, end = Path(video or record.video), record.start + record.done
    whole = open_frames(place, [place / name for name in record.without])
    if stop is not None and stop < end:
        raise InputError(
            f"expected an end behind the {record.done} finished frames of {folder}, found {stop}: choose {end} or more"
        )
    frames = ClipRange(whole, record.start, record.stop if stop is None else stop)
    if content_hash(whole, end) != record.video_hash:
        raise InputError(
            f"expected the video that {folder} was begun with ({record.video}), found another at {whole.path}; "
            "name the right one, or begin anew"
        )
    masks = {int(file.stem): read_mask(file) for file in (folder / GIVEN).glob("*.png")}
    given = UserMasks(masks, progress.removed)
    begun_with = (record.checkpoint, record.checkpoint_hash)
    return Job(frames, given, folder, *begun_with, record.write, record.postprocess), stream


def content_hash(frames: Frames, end: int) -> str:
    """Hash of the frames before ``end``: of images with their names, of a listed video's decoded frames."""
    if isinstance(frames, ImageFolder):
        return of_values([(file.name, of_file(file)) for file in frames.files[:end]])
    return of_values(
        [frame.checksum for frame in frames.listed[:end]] if isinstance(frames, VideoFile) else []
    )


def _read_progress(folder: Path) -> Progress:
    path = folder / PROGRESS
    if not path.is_file():
        found = "a finished one" if (folder / "trace.json").is_file() else "none"
        raise InputError(f"expected a stopped run in {folder}, found {found}: there is nothing to resume")
    try:
        return Progress.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        raise InputError(
            f"expected the state of a stopped run ({FORMAT}) in {path}, found something else"
        ) from None
