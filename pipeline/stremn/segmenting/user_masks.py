"""Masks that a user gives for some frames of a video, and objects to remove.

Frames are counted from 0, the video's first, also where only a range of it is segmented. H W pixels.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stremn.data.clips import Pixels, without_void
from stremn.data.frames import Frames
from stremn.data.mask_colours import VOID, palette
from stremn.data.pictures import SUFFIXES
from stremn.data.video import ImageFolder, given_mask, names_no_id
from stremn.errors import InputError, nearest, warn
from stremn.listing import by_stem, files_in, some
from stremn.segmenting.sources import ClipRange

MaskInput = str | Path | Pixels | Mapping[int, str | Path | Pixels]


@dataclass(frozen=True)
class UserMasks:
    """Masks and removals, read and checked.

    Attributes:
        masks: frame → object ids, uint8 (H, W).
        removed: frame → ids that are no longer segmented from there on.
    """

    masks: dict[int, Pixels]
    removed: dict[int, list[int]]

    def ids(self, frame: int) -> list[int]:
        """Objects whose masks are given in a frame."""
        return (
            [int(number) for number in np.unique(self.masks[frame]) if number] if frame in self.masks else []
        )


def _numbered(text: str) -> tuple[int | None, Path]:
    """Frame, None where none is named, and file of one mask on the command line."""
    numbered = re.fullmatch(r"(\d+):(.+)", text)
    return (int(numbered[1]), Path(numbered[2])) if numbered else (None, Path(text))


def mask_paths(masks: MaskInput | Iterable[str]) -> list[Path]:
    """The files that masks are given as, on the command line or in Python: should they lie among frames, they are none."""
    if isinstance(masks, Mapping):
        return [Path(mask) for mask in masks.values() if isinstance(mask, str | Path)]
    if isinstance(masks, np.ndarray):
        return []
    several = [str(masks)] if isinstance(masks, str | Path) else masks
    return [_numbered(str(text))[1] for text in several]


def parse_mask_files(masks: Iterable[str], frames: Frames, start: int) -> dict[int, Path]:
    """Mask files by frame, from what the command line is given.

    Args:
        masks: each a file (of the first frame), ``FRAME:FILE``, or a folder of masks named as the frames.
        frames: the video.
        start: number of the first frame.

    Raises:
        InputError: a name that no frame has, two masks for a frame.
    """
    found: dict[int, Path] = {}
    for text in masks:
        frame, path = _numbered(text)
        if path.is_dir() and frame is not None:
            raise InputError(f"expected a mask file for frame {frame}, found the folder {path}")
        pairs = _of_folder(path, frames) if path.is_dir() else [(start if frame is None else frame, path)]
        for number, file in pairs:
            if number in found:
                raise InputError(
                    f"expected one mask for frame {number}, found {found[number]} and {file}; drop one"
                )
            found[number] = file
    return found


def _of_folder(folder: Path, frames: Frames) -> list[tuple[int, Path]]:
    files = by_stem(files_in(folder, SUFFIXES))
    if not files:
        raise InputError(f"expected masks (png) in the folder {folder}, found none")
    names = frames.names if isinstance(frames, ImageFolder) else None
    numbers = {} if names is None else {name: number for number, name in enumerate(names)}
    pairs = []
    for stem, file in files.items():
        number = numbers.get(stem)
        if names is None and stem.isdecimal():
            number = int(stem)
        if number is None:
            raise InputError(
                f"expected masks named as frames of {frames.path} in {folder}, found {file.name}; rename it"
                + nearest(stem, names or ())
            )
        pairs.append((number, file))
    return pairs


def parse_removals(texts: Sequence[str]) -> dict[int, list[int]]:
    """Ids by frame: ``60:2,5`` is {60: [2, 5]}. Raises InputError for anything else."""
    found: dict[int, list[int]] = {}
    for text in texts:
        if not re.fullmatch(r"\d+:\d+(,\d+)*", text):
            raise InputError(f"expected FRAME:ID to remove an object, such as 60:2, found {text!r}")
        frame, _, ids = text.partition(":")
        found.setdefault(int(frame), []).extend(map(int, ids.split(",")))
    return found


def read_user_masks(
    masks: MaskInput,
    removed: Mapping[int, Sequence[int]],
    frames: ClipRange,
    *,
    objects: int | None = None,
) -> UserMasks:
    """Masks and removals, checked against the video and against each other.

    Args:
        masks: by frame, a file or ids (H, W); or the first frame's alone. 255 beside other ids is void and
            becomes background.
        removed: ids by frame.
        frames: the range of the video.
        objects: how many objects there should be at most; None: any number.

    Raises:
        InputError: see ``given_mask``; a frame outside the range, no mask with an object for its first frame,
            more ids than declared, an id to remove that is not there.
    """
    by_frame = dict(masks) if isinstance(masks, Mapping) else {frames.start: masks}
    _check_frames(by_frame, removed, frames)
    read = {frame: _mask(by_frame[frame], frames, frame) for frame in sorted(by_frame)}
    empty = [frame for frame, mask in read.items() if not mask.any()]
    if frames.start in empty:
        full = [frame for frame in read if frame not in empty]
        hint = f"; the first mask with one is that of frame {full[0]}: --start {full[0]}" if full else ""
        raise InputError(
            f"expected at least one object in the mask of frame {frames.start}, the first to segment, found only "
            f"background in {_named(by_frame[frames.start])}{hint}"
        )
    if empty:
        warn(
            f"empty masks give nothing, objects are followed through them: frame {', '.join(map(str, empty))}"
        )
        read = {frame: mask for frame, mask in read.items() if mask.any()}
    ids = sorted({int(i) for mask in read.values() for i in np.unique(mask) if i})
    if objects is not None and len(ids) > objects:
        where = ", ".join(str(m) for m in by_frame.values() if isinstance(m, str | Path)) or "the masks"
        raise InputError(
            f"expected at most {objects} object(s) as declared, found {len(ids)} in the mask {where} "
            f"(ids {', '.join(map(str, ids))}); correct the mask or the number"
        )
    known = _known_before(read, removed)
    _tell_corrections({frame: by_frame[frame] for frame, given in known.items() if given == {1}}, ids)
    return UserMasks(read, {frame: sorted(set(removed[frame])) for frame in sorted(removed)})


def _check_frames(masks: Collection[int], removed: Collection[int], frames: ClipRange) -> None:
    """Every frame lies in the range, and the first one has a mask."""
    start = frames.start
    end = None if frames.count is None else start + frames.count
    for frame in (*masks, *removed):
        if frame < start or (end is not None and frame >= end):
            last = "on" if end is None else f"to {end - 1}"
            raise InputError(
                f"expected masks and removals for frames {start} {last} of {frames.path}, found frame {frame}"
            )
    if start not in masks:
        known = ", ".join(map(str, sorted(masks))) or "none"
        raise InputError(
            f"expected a mask for frame {start}, the first to segment, found masks for frames {known}; "
            "give one, or choose --start"
        )


def _mask(mask: str | Path | Pixels, frames: Frames, frame: int) -> Pixels:
    if isinstance(mask, str | Path):
        return given_mask(mask, frames)
    ids = np.asarray(mask)
    if ids.shape != frames.size or not np.issubdtype(ids.dtype, np.integer):
        raise InputError(
            f"expected a mask of integers {frames.size} for frame {frame}, found {ids.dtype} {ids.shape}"
        )
    if ids.min() < 0 or ids.max() > 255:
        raise InputError(
            f"expected ids 0 to 255 in the mask of frame {frame}, found {ids.min()} to {ids.max()}"
        )
    return without_void(ids.astype(np.uint8))


def _named(mask: str | Path | Pixels) -> str:
    return str(mask) if isinstance(mask, str | Path) else "the array"


def _tell_corrections(masks: Mapping[int, str | Path | Pixels], ids: Sequence[int]) -> None:
    """Warn of masks of object 1, which is there already, that do not name it: a new object may be meant."""
    odd = [frame for frame, mask in masks.items() if isinstance(mask, str | Path) and names_no_id(mask)]
    if odd:
        free = next((number for number in range(1, VOID) if number not in ids), VOID - 1)
        colour = ",".join(map(str, palette()[free]))
        warn(
            f"the mask of frame {some(list(map(str, odd)))} corrects object 1; for a new object save it with id {free} "
            f"or in the colour ({colour})"
        )


def _known_before(masks: Mapping[int, Pixels], removed: Mapping[int, Sequence[int]]) -> dict[int, set[int]]:
    """Frames whose masks give only what is there already, and these ids.

    Raises:
        InputError: what is removed has not been there before, or is given in the same frame.
    """
    present: set[int] = set()
    again: dict[int, set[int]] = {}
    for frame in sorted({*masks, *removed}):
        gone = set(removed.get(frame, ()))
        unknown = sorted(gone - present)
        if unknown:
            known = ", ".join(map(str, sorted(present))) or "none"
            raise InputError(
                f"expected an object to remove at frame {frame} that is there before ({known}), "
                f"found {unknown[0]}: check the id and the frame"
            )
        given = {int(i) for i in np.unique(masks[frame]) if i} if frame in masks else set()
        if given and given <= present:
            again[frame] = given
        if given & gone:
            raise InputError(
                f"expected object {min(given & gone)} either given or removed at frame {frame}, found both"
            )
        present = (present - gone) | given
    return again
