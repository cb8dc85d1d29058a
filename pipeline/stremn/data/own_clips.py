"""Clips of one's own in any of the usual layouts, by the names of their folders.

All clips: ``JPEGImages/<clip>`` or ``JPEGImages/<resolution>/<clip>`` with ``Annotations`` beside it (DAVIS,
YouTube-VOS), ``frames/<clip>`` with ``masks/<clip>``, or ``<clip>/frames`` with ``<clip>/masks``. One clip: ``frames``
with ``masks``. Not every frame needs a mask; a mask has the name of its frame.
"""

from pathlib import Path

import numpy as np

from stremn.data.annotated import ClipFiles, Clips, frame_files, pair_up
from stremn.data.clips import IMAGES, MASKS, VOID
from stremn.data.pictures import one_size, picture_files, size_text
from stremn.errors import InputError
from stremn.listing import folders_in, some

PAIRS = ((IMAGES, MASKS), ("frames", "masks"))
RESOLUTIONS = ("480p", "Full-Resolution", "1080p")  # of DAVIS; the first that is there
KEPT = 2**30  # bytes of decoded clips that may stay in memory


def open_own_clips(root: Path | str, split: str = "", *, limit: int | None = None) -> Clips:
    """Clips with masks in any of the layouts above.

    Args:
        split: a folder below the root; empty: the root itself.
        limit: only that many clips; None: all.

    Raises:
        InputError: no such layout, or frames and masks that do not match.
    """
    top = Path(root, split)
    folders = _folders(top)
    pairs = {
        name: pair_up(frame_files(frames), masks, lambda *_: False)
        for name, (frames, masks) in list(folders.items())[:limit]
    }
    shapes = {name: one_size([image for image, _ in pair]) for name, pair in pairs.items()}
    size = sum(4 * len(pairs[name]) * height * width for name, (height, width) in shapes.items())
    return Clips(top, [ClipFiles(name, pair, keep=size < KEPT) for name, pair in pairs.items()])


def check_clips(clips: Clips) -> tuple[int, int]:
    """Look at every mask; returns the (H, W) of the smallest clip.

    Raises:
        InputError: a mask that cannot be read or has another size than its frame, a clip without an object, or with
            no mask after the frame in which the first one is given.
    """
    sizes = []
    for one in clips.files:
        size = one_size([image for image, _ in one.frames])
        masks = [mask for _, mask in one.frames if mask is not None]
        shows = []
        for path in masks:
            ids = one.read_mask(path)
            if ids.shape != size:
                raise InputError(
                    f"expected a mask of {size_text(size)} as the frames of {one.name}, found {size_text(ids.shape)} "
                    f"in {path}: resize it"
                )
            shows.append(bool(((ids > 0) & (ids != VOID)).any()))
        if not any(shows):
            raise InputError(
                f"expected a mask with an object in clip {one.name}, found {len(masks)} masks without one: draw it, "
                "or move the clip away"
            )
        if np.argmax(shows) == len(shows) - 1:
            raise InputError(
                f"expected true masks after the first one of clip {one.name} to score against, found none: add some; "
                "`stremn segment` needs the first one only"
            )
        sizes.append(size)
    return min(sizes, key=min)


def _folders(top: Path) -> dict[str, tuple[Path, Path]]:
    """Folders of frames and of masks by clip."""
    if not top.is_dir():
        raise InputError(f"expected a folder of clips at {top}, found none: correct the path")
    for images, masks in PAIRS:
        if (top / images).is_dir() and (top / masks).is_dir():
            return _side_by_side(top / images, top / masks)
    inside = folders_in(top)
    for images, masks in PAIRS:
        clips = [name for name in inside if (top / name / images).is_dir() and (top / name / masks).is_dir()]
        several = any(folders_in(top / name / images) for name in clips)
        if several:
            raise InputError(
                f"expected clips in {top}, found the splits {some(clips)}: name one, such as {top / clips[0]}"
            )
        if clips:
            return {name: (top / name / images, top / name / masks) for name in clips}
    known = "; ".join(f"{images}/<clip> and {masks}/<clip>" for images, masks in PAIRS)
    raise InputError(
        f"expected clips in {top} ({known}; or <clip>/frames and <clip>/masks), found {some(inside) or 'no folders'}: "
        "rename the folders"
    )


def _side_by_side(images: Path, masks: Path) -> dict[str, tuple[Path, Path]]:
    if picture_files(images):
        return {images.parent.name: (images, masks)}
    inside = folders_in(images)
    deep = [name for name in (*RESOLUTIONS, *inside) if name in inside and not picture_files(images / name)]
    if deep:
        images, masks = images / deep[0], masks / deep[0]
    marked = set(folders_in(masks))
    names = [name for name in folders_in(images) if name in marked]
    if not names:
        raise InputError(
            f"expected a folder of masks in {masks} for each clip of {images}, found {some(sorted(marked)) or 'none'}: "
            "name them as the folders of frames"
        )
    return {name: (images / name, masks / name) for name in names}
