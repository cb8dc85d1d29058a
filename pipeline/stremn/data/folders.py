"""The plain layouts of folders that the data stage writes, and that anybody's own data may have."""

import re
from functools import partial
from pathlib import Path

import numpy as np

from stremn.data.clips import Pixels
from stremn.data.videos import Video, Videos
from stremn.errors import InputError

WALKER = re.compile(r"person\d+_([a-z]+)_d\d$")  # name of a video of "walkers", with its action


def open_walkers(root: Path | str, split: str = "train") -> Videos:
    """Grey videos as the data stage generates them: ``<root>/<split>/person<NN>_<action>_d<M>.npy``.

    Args:
        split: a folder below the root.

    Raises:
        InputError: no video, a name of another form, or a file that does not hold uint8 (T, H, W).
    """
    folder = Path(root, split)
    paths = sorted(folder.glob("*.npy"))
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
    try:
        video = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as problem:
        raise InputError(
            f"expected a NumPy file, found a damaged one at {path} ({problem}): make it again"
        ) from None
    if video.dtype != np.uint8 or video.ndim != 3:
        raise InputError(f"expected uint8 (T, H, W) in {path}, found {video.dtype} {video.shape}: convert it")
    return video
