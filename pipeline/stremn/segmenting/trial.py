"""Trying sizes and rules on the first frames of a video: what each makes of it, and how long all of it would take."""

import math
import shutil
import signal
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from stremn.data.clips import Pixels, read_mask
from stremn.data.frames import Frames
from stremn.data.video import open_frames
from stremn.errors import InputError, InputWarning
from stremn.figures.overlays import draw_overlay
from stremn.figures.sheets import captioned_sheet
from stremn.figures.style import save, spread
from stremn.inference.confidence import Rating
from stremn.inference.object_size import STEP, size_for
from stremn.inference.open import open_system, working_size
from stremn.inference.settings import StreamSettings
from stremn.listing import files_in
from stremn.segmenting.outputs import PAGE, output_folder
from stremn.segmenting.segment_video import segment_video
from stremn.segmenting.sources import ClipRange
from stremn.segmenting.user_masks import MaskInput, mask_paths, read_user_masks
from stremn.segmenting.writers import OUTPUTS
from stremn.tasks.rules import usable_rules

if TYPE_CHECKING:
    from matplotlib.figure import Figure

T = TypeVar("T")

FRAMES = 20
"""How many frames are tried, at most."""
SHOWN = 5  # of them on the page
RULES = ("newest", "learned", "every_n")
"""The first that a network can use, and that is not its own rule already, is tried beside that one."""
MARGIN = 0.5  # around the objects on the page, in their own size


@dataclass(frozen=True)
class Tried:
    """What one size and one rule made of the first frames.

    Attributes:
        size: shorter side in pixels at which frames were processed.
        rule: entry of ``memory.POLICIES``.
        seconds: for a frame, with reading it and writing its results.
        whole: estimate of the seconds for all frames.
        confidence: of the object that is followed worst, its mean over these frames but the given ones, in [0, 1].
        masks: object ids (H, W) of the frames that are shown.
    """

    size: int
    rule: str
    seconds: float
    whole: float
    confidence: float
    masks: list[Pixels]


def try_settings(
    video: Path | str | Frames,
    masks: MaskInput,
    out: Path | str,
    *,
    remove: Mapping[int, Sequence[int]] | None = None,
    start: int = 0,
    stop: int | None = None,
    settings: StreamSettings | None = None,
    overwrite: bool = False,
    **options: Any,
) -> list[Tried]:
    """Segment the first frames of a video at two or three sizes by two rules, and draw them side by side in ``out``.

    Args:
        video, masks, out, remove, start, stop, overwrite: as of ``segment_video``.
        settings: its size is the smallest that is tried, its rule one of the two; None: the defaults.
        options: more of ``segment_video``.

    Returns:
        what each made of these frames, in the order of the page.

    Raises:
        InputError: as of ``segment_video``, and for a camera.
    """
    whole = video if isinstance(video, Frames) else open_frames(video, mask_paths(masks))
    frames = ClipRange(whole, start, stop)
    if frames.count is None:
        raise InputError("expected a video file or a folder of images to try settings, found a camera")
    settings = settings or StreamSettings(precision="auto")
    given = read_user_masks(masks, remove or {}, frames)
    end = start + min(FRAMES, frames.count)
    shown = spread(end - start, SHOWN)
    found = []
    with output_folder(out, (PAGE,), overwrite=overwrite) as output:
        for size, rule in _combinations(settings, given.masks[start]):
            folder = output.folder / f"{size}-{rule}"
            with warnings.catch_warnings():  # what is to be told was told when the masks were read
                warnings.simplefilter("ignore", InputWarning)
                done = segment_video(
                    whole,
                    _before(end, given.masks),
                    folder,
                    remove=_before(end, given.removed),
                    start=start,
                    stop=end,
                    settings=settings.model_copy(update={"size": size, "policy": rule}),
                    **options,
                )
            if done.signal:
                raise KeyboardInterrupt if done.signal == signal.SIGINT else SystemExit(128 + done.signal)
            files = files_in(folder / OUTPUTS["masks"])
            seconds = done.seconds / done.frames
            kept = [read_mask(files[number]) for number in shown]
            found.append(
                Tried(size, rule, seconds, seconds * frames.count, _worst(done.ratings, given.masks), kept)
            )
            shutil.rmtree(folder)
        pictures = [
            frame for number, (_, frame) in enumerate(ClipRange(whole, start, end)) if number in shown
        ]
        save(_page(found, [start + number for number in shown], pictures), output.folder / PAGE)
    return found


def duration(seconds: float) -> str:
    """Seconds for a person: 40 s, 12 min, 3.5 h."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.1f}".removesuffix(".0") + f" {unit}"
    return f"{seconds:.0f} s"


def _before(end: int, by_frame: Mapping[int, T]) -> dict[int, T]:
    return {frame: value for frame, value in by_frame.items() if frame < end}


def _combinations(settings: StreamSettings, mask: Pixels) -> Iterator[tuple[int, str]]:
    """Sizes and rules to try for a first mask (H, W)."""
    network, policy, meta = open_system(settings)
    side = working_size(meta, mask.shape, settings.size)
    usable = usable_rules(network)
    other = next(rule for rule in RULES if rule in usable and rule != policy.name)
    return product(sizes_to_try(side, min(mask.shape), size_for(mask, side)), (policy.name, other))


def _worst(ratings: Sequence[Rating], given: Collection[int]) -> float:
    """The least of the objects' mean confidences in frames without a given mask; 1 where there is none."""
    found: dict[int, list[float]] = {}
    for one in ratings:
        if one.frame not in given:
            found.setdefault(one.object, []).append(one.confidence)
    return min((float(np.mean(values)) for values in found.values()), default=1.0)


def _page(tried: Sequence[Tried], numbers: Sequence[int], frames: Sequence[Pixels]) -> "Figure":
    """A row for each trial, cut to where the objects are in any of them."""
    rows, columns = _around(np.any([mask > 0 for one in tried for mask in one.masks], 0))
    return captioned_sheet(
        [
            (
                f"{one.size} px, {one.rule}\n{one.seconds:.2f} s a frame\n{duration(one.whole)} in all\n"
                f"confidence {one.confidence:.2f}",
                [
                    (f"frame {number}", draw_overlay(frame, mask)[rows, columns])
                    for number, frame, mask in zip(numbers, frames, one.masks, strict=True)
                ],
            )
            for one in tried
        ],
        "Which size and rule follow the objects?",
        "",
    )


def _around(area: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The rows and columns of an area (H, W) with a margin."""
    found = []
    for axis in (1, 0):
        line = np.flatnonzero(area.any(axis))
        room = round(MARGIN * max(float(line[-1] - line[0]), len(area) / 8))
        found.append(slice(max(0, line[0] - room), line[-1] + 1 + room))
    return found[0], found[1]


def sizes_to_try(side: int, native: int, advised: int) -> list[int]:
    """Two or three working sizes: a run's own, a larger one, and one between; one where frames are no larger.

    Args:
        side: of the run, shorter side in pixels.
        native: of the frames; no size is above it.
        advised: at which every object is wide enough; at least twice ``side`` is tried.
    """
    largest = min(max(advised, 2 * side), native)
    between = round(math.sqrt(side * largest) / STEP) * STEP
    return sorted({side, largest, *([between] if side < between < largest else [])})
