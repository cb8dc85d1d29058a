"""Segmenting a video from disk to disk: one frame in memory at a time.

PyTorch is imported by the functions: files, masks and names are checked before, so that a slip is told at once.
H W pixels.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stremn.data.frames import Frames
from stremn.data.video import open_frames
from stremn.errors import InputError, warn
from stremn.fingerprint import of_file
from stremn.inference.object_size import small_objects
from stremn.inference.settings import MULTI_SCALE, StreamSettings
from stremn.segmenting.interrupt import Interrupt
from stremn.segmenting.job import Job
from stremn.segmenting.outputs import output_folder, put_back
from stremn.segmenting.sources import ClipRange
from stremn.segmenting.user_masks import MaskInput, mask_paths, read_user_masks
from stremn.segmenting.writers import DEFAULT, parse_kinds

if TYPE_CHECKING:
    from stremn.segmenting.segment_run import Segmented


def segment_video(
    video: Path | str | Frames,
    masks: MaskInput,
    out: Path | str,
    *,
    remove: Mapping[int, Sequence[int]] | None = None,
    start: int = 0,
    stop: int | None = None,
    write: str | Sequence[str] = DEFAULT,
    objects: int | None = None,
    multi_scale: bool = False,
    postprocess: bool = False,
    stop_after: int | None = None,
    overwrite: bool = False,
    settings: StreamSettings | None = None,
    **fields: Any,
) -> "Segmented":
    """Follow objects through a video, from disk to disk.

    >>> import stremn
    >>> done = stremn.segment_video(
    ...     "dog.mp4", {0: "first.png", 40: "later.png"}, "results/dog", remove={60: [2]}, write="masks,matte"
    ... )
    >>> print(done.frames, done.objects, done.lost)

    Args:
        video: a video file, a folder of images, or opened frames (a camera, say).
        masks: of the first frame (a file, or ids (H, W)), or a dict of such by frame number. An id that
            is new appears there; one that is known is corrected.
        out: folder for the results; new, or empty.
        remove: ids by the frame from which they are no longer segmented.
        start, stop: first frame, and the one before which to end; None: the video's end. All frame
            numbers count from the video's own first frame, 0.
        write: entries of ``segmenting.writers.OUTPUTS``. ``trace.json`` and ``confidence.csv``, with its
            curve ``confidence.png``, are always written.
        objects: how many objects there are at most, to be sure; None: any number.
        multi_scale: STReMN-MS: four sizes, each also mirrored, see ``inference.settings.MULTI_SCALE``.
        postprocess: drop far parts, see ``inference.postprocess``.
        stop_after: stop after so many frames, as by Ctrl-C, and save the state of the memory in ``out``.
        overwrite: replace an earlier run's results.
        settings, fields: of the stream, see ``inference.settings.StreamSettings``, where each field is
            explained: ``system``, ``checkpoint``, ``policy``, ``slots``, ``device``, … Other defaults than in
            ``stremn.open_stream``: ``size`` None is the checkpoint's, else 240, and at most the frames' own
            (masks always have the frames' size); ``precision`` is ``auto`` where ``settings`` is None.

    Returns:
        what was done; ``ratings`` say how far each object can be trusted in each frame, ``lost`` which may be lost, and
        from which frame on; ``late`` names frames behind the video's end for which something was given.

    Raises:
        InputError: a file, frame, id, name or folder that is not as it should be. Before the first frame is
            finished nothing is written; after that (a damaged frame, a full disk) what is done is kept as a
            stopped run, and the error says how to go on.
    """
    kinds = parse_kinds(write)
    whole = video if isinstance(video, Frames) else open_frames(video, mask_paths(masks))
    frames = ClipRange(whole, start, stop)
    given = read_user_masks(masks, remove or {}, frames, objects=objects)
    own = {"precision": "auto"} if settings is None else dict(settings)
    settings = StreamSettings.parse(
        {**own, **(MULTI_SCALE if multi_scale else {}), **fields}, "segment_video"
    )
    if stop_after is not None and not frames.repeatable:
        raise InputError(
            "expected a video file or a folder of images to stop and resume; "
            "leave stop_after out (a camera's end is --stop, or Ctrl-C)"
        )
    from stremn.inference.open import open_system, weights_of, working_size
    from stremn.inference.stream import Stream
    from stremn.segmenting.segment_run import RESULTS, SegmentRun
    from stremn.segmenting.stopped import PROGRESS

    put_back(out)
    if (Path(out) / PROGRESS).is_file() and not overwrite:
        raise InputError(
            f"expected a new or empty folder, found a stopped run in {out}; go on with --resume {out}, or add "
            "--overwrite to replace it"
        )
    with Interrupt() as interrupt, output_folder(out, RESULTS, overwrite=overwrite) as output:
        network, policy, meta = open_system(settings)
        size = working_size(meta, frames.size, settings.size)
        for number, mask in given.masks.items():
            if told := small_objects(mask, size):
                warn(told if number == start else f"in frame {number} {told}")
        stream = Stream(network, policy, meta, settings.model_copy(update={"size": size}))
        weights = weights_of(settings)
        job = Job(frames, given, Path(out), weights, of_file(weights), kinds, postprocess)
        return SegmentRun(job, stream).write_to(output, interrupt, stop_after)


def resume_segmenting(
    out: Path | str,
    *,
    video: Path | str | None = None,
    checkpoint: Path | str | None = None,
    device: str | None = None,
    stop: int | None = None,
    stop_after: int | None = None,
    plugin: Path | str | None = None,
) -> "Segmented":
    """Go on with a run that was stopped in ``out``: the masks are those of an uninterrupted run, bit for bit.

    Videos are written again from their beginning. See ``segmenting.stopped.open_stopped`` for the arguments and
    ``segment_video`` for ``stop_after``. On InputError the folder stays as it is.
    """
    from stremn.segmenting.segment_run import RESULTS, SegmentRun
    from stremn.segmenting.stopped import copy_stopped, open_stopped

    put_back(out)
    job, stream = open_stopped(
        Path(out), video=video, checkpoint=checkpoint, device=device, stop=stop, plugin=plugin
    )
    with Interrupt() as interrupt, output_folder(out, RESULTS, overwrite=True) as output:
        try:
            copy_stopped(Path(out), output.folder)
        except OSError as error:
            raise InputError(
                f"expected to copy what is done from {out}, could not: {error.strerror or error}; free some space"
            ) from None
        return SegmentRun(job, stream).write_to(output, interrupt, stop_after)
