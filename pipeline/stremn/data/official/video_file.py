"""One grey video file, split in time: the first part trains, the next validates, the last tests."""

from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from stremn.data.clips import Pixels
from stremn.data.video import open_frames
from stremn.data.videos import Video, Videos, luma, resized
from stremn.errors import InputError

SPLITS = ("train", "val", "test")


def open_video_file(
    path: Path | str, split: str = "train", *, size: int = 128, shares: tuple[float, float] = (0.7, 0.1)
) -> Videos:
    """A part of a video (a file, or a folder of images), grey and square.

    Args:
        size: side in pixels; the aspect is not kept; shrunk with antialiasing.
        shares: of the frames for train and val, in this order; the rest is test.

    The parts do not overlap, but they show one scene: such scores say nothing of other places. Raises
    InputError when the file cannot be decoded to its end or a part is empty.
    """
    path = Path(path)
    if split not in SPLITS:
        raise InputError(f"expected a split of {', '.join(SPLITS)}, found {split!r}: choose one")
    if min(shares) < 0 or sum(shares) > 1:
        raise InputError(f"expected shares for train and val that sum to 1 at most, found {shares}")
    total = len(_decoded(path, size))
    cuts = [0, round(shares[0] * total), round(sum(shares) * total), total]
    first, last = cuts[SPLITS.index(split)], cuts[SPLITS.index(split) + 1]
    if first == last:
        raise InputError(f"expected frames for {split} in {path}, found none of {total}: change the shares")
    video = Video(path.stem, last - first, partial(_part, path, size, first, last), first)
    return Videos(path, [video], split=split)


def _part(path: Path, size: int, first: int, last: int) -> Pixels:
    return _decoded(path, size)[first:last]


@lru_cache(maxsize=2)
def _decoded(path: Path, size: int) -> Pixels:
    """All frames, uint8 (T, S, S); large ones are shrunk one by one, so that memory stays small."""
    return np.concatenate(
        [resized(luma(frame)[None], size, antialias=True) for _, frame in open_frames(path)]
    )
