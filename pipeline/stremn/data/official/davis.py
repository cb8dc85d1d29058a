"""DAVIS-2016 and DAVIS-2017 (davischallenge.org), as unpacked.

``JPEGImages/<resolution>/<sequence>/<frame>.jpg``, ``Annotations/<resolution>/<sequence>/<frame>.png`` and
``ImageSets/<year>/<split>.txt`` (one sequence a line), or DAVIS-2016's own ``ImageSets/<resolution>/<split>.txt``
(an image and its mask a line).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stremn.data.annotated import ClipFiles, Clips, frame_files, pair_up
from stremn.data.clips import IMAGES, MASKS, VOID, Pixels, read_mask
from stremn.errors import InputError, nearest
from stremn.listing import files_in, read_list

FIRST_ONLY = ("test-dev", "test-challenge")  # splits of which only the first masks are public


def open_davis(
    root: Path | str,
    split: str = "val",
    *,
    year: int = 2017,
    resolution: str = "480p",
    cache: bool = False,
    limit: int | None = None,
    only: Sequence[str] | None = None,
    without: Sequence[str] = (),
) -> Clips:
    """Clips of a split of DAVIS.

    Args:
        root: holds ``JPEGImages``, ``Annotations`` and ``ImageSets``.
        split: a list of ``ImageSets/<year>``: train, val, trainval (2017: also test-dev, test-challenge).
        year: 2016: all that is labelled is one object, 1; masks may be {0, 255} (also as ``LA``) or ids.
            2017: palette masks, id = palette index, 255 void.
        cache: keep decoded clips in memory.
        limit: only the first sequences of the list.
        only, without: only these sequences of the list, or all but these: to hold some out for validation.

    Every frame has a mask, but for the splits ``FIRST_ONLY``, where the first has one. Raises InputError,
    naming the path, when a list, a sequence, a frame or a mask is missing.
    """
    root = Path(root)
    images, masks = root / IMAGES / resolution, root / MASKS / resolution
    for folder in (images, masks):
        if not folder.is_dir():
            raise InputError(
                f"expected the folder {folder} of DAVIS, found none: give the root that holds it"
            )
    listed = _sequences(root, split, year, resolution)
    strange = [name for name in (*(only or ()), *without) if name not in listed]
    if strange:
        raise InputError(
            f"expected sequences of DAVIS {split}, found {strange[0]!r}: correct only or without"
            + nearest(strange[0], listed)
        )
    chosen = [name for name in listed if name not in without and (only is None or name in only)]
    names = chosen[:limit]
    first_only = split in FIRST_ONLY
    read, files = _one_object_mask if year == 2016 else read_mask, []
    for name in names:
        pairs = pair_up(frame_files(images / name), masks / name, lambda t, _: t == 0 or not first_only)
        files.append(ClipFiles(name, pairs, read_mask=read, keep=cache))
    return Clips(root, files, masks)


def one_object(mask: Pixels) -> Pixels:
    """All that is labelled as object 1; void (255) stays, unless 255 is the only label, as in {0, 255}."""
    ids = (mask > 0) & (mask != VOID)
    if not ids.any():
        return (mask == VOID).astype(np.uint8)
    return np.where(mask == VOID, VOID, ids).astype(np.uint8)


def _one_object_mask(path: Path) -> Pixels:
    return one_object(read_mask(path))


def _sequences(root: Path, split: str, year: int, resolution: str) -> list[str]:
    lists = [root / "ImageSets" / str(year) / f"{split}.txt"]
    if year == 2016:
        lists.append(root / "ImageSets" / resolution / f"{split}.txt")
    found = next((path for path in lists if path.is_file()), None)
    if found is None:
        there = [path.stem for path in files_in(lists[0].parent, (".txt",))]
        raise InputError(
            f"expected the list {lists[0]} of DAVIS, found {', '.join(there) or 'none'} there: "
            "choose another split or unpack the lists"
        )
    return read_list(found)
