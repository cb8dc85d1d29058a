"""The plain layouts of folders that the data stage writes, and that anybody's own data may have."""

import re
from functools import partial
from pathlib import Path

import numpy as np

from stremn.data.annotated import ClipFiles, Clips, ImageFiles, Images, frame_files, pair_up
from stremn.data.clips import IMAGES, MASKS, Pixels, read_mask
from stremn.data.pictures import SUFFIXES, picture_files
from stremn.data.videos import Video, Videos, mapped_array
from stremn.errors import InputError
from stremn.listing import by_stem, files_in, folders_in

WALKER = re.compile(r"person\d+_([a-z]+)_d\d$")  # name of a video of "walkers", with its action


def open_clip_folder(
    root: Path | str, split: str = "train", *, cache: bool = True, limit: int | None = None
) -> Clips:
    """Clips as DAVIS has them: ``<root>/<split>/JPEGImages/<clip>/<frame>.jpg`` (or .png) and ``Annotations``, .png.

    Args:
        split: a folder below the root; empty: the root itself.
        cache: keep decoded clips in memory (for small sets).
        limit: only that many clips, the first by name; None: all.

    Raises:
        InputError: a folder is missing or empty, or frames and masks do not match.
    """
    folder = Path(root, split)
    for name in (IMAGES, MASKS):
        if not (folder / name).is_dir():
            raise InputError(f"expected a folder {folder / name}, found none: give the root that holds it")
    names = folders_in(folder / IMAGES)[:limit]
    if not names:
        raise InputError(
            f"expected sequences in {folder / IMAGES}, found none: make or unpack the data first"
        )
    files = [
        ClipFiles(name, pair_up(frame_files(folder / IMAGES / name), folder / MASKS / name), keep=cache)
        for name in names
    ]
    return Clips(folder, files, folder / MASKS)


def open_image_folder(root: Path | str, split: str = "", *, cache: bool = True) -> Images:
    """``<root>/<split>/images/<name>.png`` (or another kind) with ``masks/<name>.png``; without split in the root itself.

    Raises:
        InputError: a folder, all images, or a mask are missing.
    """
    root = Path(root, split)
    folder = root / "images"
    if not folder.is_dir():
        raise InputError(f"expected a folder {folder}, found none: give the root that holds images and masks")
    images = by_stem(picture_files(folder))
    masks = by_stem(files_in(root / "masks", SUFFIXES))
    missing = [name for name in images if name not in masks]
    if missing:
        raise InputError(f"expected a mask for every image of {root}, {missing[0]} has none: add it")
    files = [
        ImageFiles(stem, path, partial(read_mask, masks[stem]), keep=cache) for stem, path in images.items()
    ]
    return Images(root, files)


def open_walkers(root: Path | str, split: str = "train") -> Videos:
    """Grey videos as the data stage generates them: ``<root>/<split>/person<NN>_<action>_d<M>.npy``.

    Args:
        split: a folder below the root.

    Raises:
        InputError: no video, a name of another form, or a file that does not hold uint8 (T, H, W).
    """
    folder = Path(root, split)
    paths = files_in(folder, (".npy",))
    if not paths:
        raise InputError(f"expected videos (*.npy) in {folder}, found none: make or unpack the data first")
    videos = []
    for path in paths:
        named = WALKER.match(path.stem)
        if named is None:
            raise InputError(
                f"expected names like person01_walking_d1.npy, found {path.name}: rename or remove it"
            )
        videos.append(Video(path.stem, len(_mapped(path)), partial(_mapped, path), action=named[1]))
    return Videos(folder, videos)


def _mapped(path: Path) -> Pixels:
    """A grey video uint8 (T, H, W), mapped from disk."""
    video = mapped_array(path, "make it again")
    if video.dtype != np.uint8 or video.ndim != 3:
        raise InputError(f"expected uint8 (T, H, W) in {path}, found {video.dtype} {video.shape}: convert it")
    return video
