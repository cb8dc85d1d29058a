"""Segmenting a video from disk to disk: one frame in memory at a time.

H W pixels.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from stremn.data.video import Frames, open_frames
from stremn.device import choose
from stremn.errors import InputError
from stremn.inference.open import make_stream, open_system, weights_of, working_size
from stremn.inference.settings import MULTI_SCALE, StreamSettings
from stremn.inference.stream import Stream
from stremn.segmenting.excerpt import Excerpt
from stremn.segmenting.given import Given, MaskFiles, read_given
from stremn.segmenting.outputs import check_output
from stremn.segmenting.renditions import DEFAULT, chosen
from stremn.segmenting.segment_run import RESULTS, Segmented, SegmentRun, seen_again
from stremn.segmenting.stopped import PROGRESS, Job, open_stopped


def segment_video(
    video: Path | str | Frames,
    masks: MaskFiles | Given,
    out: Path | str,
    *,
    remove: Mapping[int, Sequence[int]] | None = None,
    start: int = 0,
    stop: int | None = None,
    write: str | Sequence[str] = DEFAULT,
    system: str = "stremn",
    checkpoint: Path | str | None = None,
    policy: str | None = None,
    slots: int = 6,
    every: int = 5,
    size: int | None = None,
    multi_scale: bool = False,
    postprocess: bool = False,
    precision: str = "auto",
    device: str = "cpu",
    objects: int | None = None,
    stop_after: int | None = None,
    overwrite: bool = False,
) -> Segmented:
    """Follow objects through a video, from disk to disk.

    >>> import stremn
    >>> done = stremn.segment_video(
    ...     "dog.mp4", {0: "first.png", 40: "later.png"}, "results/dog", remove={60: [2]}, write="masks,matte"
    ... )
    >>> print(done.frames, done.objects)

    Args:
        video: a video file, a folder of images, or opened frames (a camera, say).
        masks: of the first frame (a file, or ids (H, W)), or a dict of such by frame number. An id that
            is new appears there; one that is known is corrected.
        out: folder for the results; new, or empty.
        remove: ids by the frame from which they are no longer segmented.
        start, stop: first frame, and the one before which to end; None: the video's end. All frame
            numbers count from the video's own first frame, 0.
        write: entries of ``segmenting.renditions.RENDITIONS``. ``trace.json`` is always written.
        system, checkpoint, policy, slots, every: see ``open_stream``.
        size: shorter side in pixels at which frames are looked at, at most their own; None: the
            checkpoint's, else 240. Masks always have the frames' size.
        multi_scale: STReMN-MS, see ``inference.multiscale``. Such a run cannot be stopped and resumed.
        postprocess: drop far parts, see ``inference.postprocess``.
        precision: see ``open_stream``; here ``auto`` by default.
        device: ``auto``, ``cpu``, ``cuda``, …
        objects: how many objects there are at most, to be sure; None: any number.
        stop_after: stop after so many frames, as by Ctrl-C, and save the state of the memory in ``out``.
        overwrite: replace an earlier run's results.

    Returns:
        what was done; ``late`` names frames behind the video's end for which something was given.

    Raises:
        InputError: a file, frame, id, name or folder that is not as it should be. Then nothing is written.
    """
    kinds = chosen(write)
    frames = video if isinstance(video, Excerpt) else Excerpt(_opened(video), start, stop)
    given = masks if isinstance(masks, Given) else read_given(masks, remove or {}, frames, objects=objects)
    where = choose(device)
    if (Path(out) / PROGRESS).is_file() and not overwrite:
        raise InputError(
            f"expected a new or empty folder, found a stopped run in {out}; go on with --resume {out}, or add "
            "--overwrite to replace it"
        )
    check_output(out, RESULTS, overwrite=overwrite)
    settings = StreamSettings(
        system=system, checkpoint=None if checkpoint is None else Path(checkpoint),
        policy=policy, slots=slots, every=every, size=size,
        precision=precision, device=where, **(MULTI_SCALE if multi_scale else {}),
    )  # fmt: skip
    network, rule, meta = open_system(settings)
    settings = settings.model_copy(update={"size": working_size(meta, frames.size, size)})
    stream = make_stream(network, rule, meta, settings)
    if stop_after is not None and not (stream.can_save and seen_again(frames)):
        raise InputError(
            "expected a video file or folder, seen at one scale, to stop and resume; "
            "leave stop_after out (a camera's end is --stop, or Ctrl-C)"
        )
    job = Job(
        str(frames.path.resolve()),
        str(weights_of(settings).resolve()),
        frames.start,
        frames.stop,
        kinds,
        postprocess,
        where,
    )
    return SegmentRun(stream, frames, given, job).to(Path(out), stop_after, overwrite)


def segment_stream(
    stream: Stream,
    video: Path | str | Frames,
    masks: MaskFiles,
    out: Path | str,
    *,
    write: str | Sequence[str] = DEFAULT,
    overwrite: bool = False,
) -> Segmented:
    """``segment_video`` with a fresh stream of one's own, at the size that it has. ``InputError`` as there."""
    kinds, frames = chosen(write), Excerpt(_opened(video))
    given = read_given(masks, {}, frames)
    job = Job(str(frames.path.resolve()), "", write=kinds, device=stream.device)
    return SegmentRun(stream, frames, given, job).to(Path(out), None, overwrite)


def resume_segmenting(
    out: Path | str,
    *,
    video: Path | str | None = None,
    checkpoint: Path | str | None = None,
    device: str | None = None,
    stop_after: int | None = None,
) -> Segmented:
    """Go on with a run that was stopped in ``out``: the masks are those of an uninterrupted run, bit for bit.

    Videos are drawn again from their beginning. See ``segmenting.stopped.open_stopped`` for the arguments and
    ``segment_video`` for ``stop_after``. On InputError the folder stays as it is.
    """
    found = open_stopped(
        Path(out), video=video, checkpoint=checkpoint, device=None if device is None else choose(device)
    )
    run = SegmentRun(found.stream, found.frames, found.given, found.job)
    return run.to(Path(out), stop_after, overwrite=True)


def _opened(video: Path | str | Frames) -> Frames:
    return video if isinstance(video, Frames) else open_frames(video)
