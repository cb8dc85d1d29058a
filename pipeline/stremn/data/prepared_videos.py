"""Videos for prediction where the data stage left them: generated walkers, or a dataset used where it lies.

``<place>/source.json`` (``data.prepared``) names a dataset of kind "videos"; without it the place holds generated
videos (``data.windows``). Either gives the same: batches by step number, and all windows in order.

B windows, T frames, C channels (1 grey, 3 colour), H W pixels.
"""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from stremn.data.clips import Pixels
from stremn.data.datasets import open_videos
from stremn.data.loader import Sampler
from stremn.data.official.moving_mnist import MovingDigits
from stremn.data.official.videos import Videos
from stremn.data.prepared import read_source
from stremn.data.windows import NAME, WindowSampler, files, read_video, test_windows
from stremn.errors import InputError

NAMED = 3  # short videos that a warning names


def sampler(place: Path, batch: int, frames: int, seed: int = 0) -> Sampler[Tensor]:
    """Random windows; ``batch(step)`` is float32 (B, T, C, H, W) in [0, 1], a pure function of (seed, step).

    Args:
        place: a split in the data stage's output; batch, frames: B and T.

    Raises InputError when no video has T frames; a warning names those that are left out as too short.
    """
    videos = dataset(place)
    if videos is None:
        return WindowSampler(place, batch=batch, frames=frames, seed=seed)
    if not isinstance(videos, MovingDigits):  # which makes sequences as long as they are asked to be
        _check_lengths(videos, frames, place)
    return videos.sampler(batch, frames, seed)


def windows(
    place: Path, frames: int, stride: int | Mapping[str, int]
) -> Sequence[tuple[str, NDArray[np.floating]]]:
    """All windows of T frames, one starting every ``stride`` frames (or a stride per action), in order.

    Returns pairs of name ``<video>@<first frame>`` and array float32 (T, C, H, W) in [0, 1]. Raises and warns as
    ``sampler`` does.
    """
    videos = dataset(place)
    if videos is None:
        return test_windows(place, frames, stride)
    _check_lengths(videos, frames, place)
    return videos.windows(frames, stride)


def show(place: Path, count: int = 6) -> list[tuple[str, Pixels]]:
    """Some videos with their names, uint8 (T, H, W) or (T, H, W, 3).

    The first video of each action where there are actions, else the first ``count``.
    """
    videos = dataset(place)
    if videos is None:
        first: dict[str, Path] = {}
        for path in files(place):
            first.setdefault(NAME.match(path.stem)[2], path)  # type: ignore[index]
        return [(action, read_video(path)) for action, path in first.items()]
    actions: dict[str, int] = {}
    for number, video in enumerate(videos.videos):
        actions.setdefault(video.action, number)
    if set(actions) == {""}:
        return [(videos.names[number], videos[number]) for number in range(min(count, len(videos)))]
    return [(action, videos[number]) for action, number in actions.items()]


def extent(place: Path) -> tuple[int, int, tuple[int, ...]]:
    """How many videos, how many frames in all, and the shape of a frame, (H, W) or (H, W, 3)."""
    videos = dataset(place)
    if videos is None:
        found = [read_video(path) for path in files(place)]
        return len(found), sum(map(len, found)), found[0].shape[1:]
    return len(videos), sum(video.length for video in videos.videos), videos[0].shape[1:]


def dataset(place: Path) -> Videos | None:
    """The dataset that is noted at a place; None where generated videos lie there themselves."""
    noted = read_source(place)
    if noted is None:
        return None
    name, folder, split, options = noted
    return open_videos(name, folder, split, **options)


def pictures(frames_TCHW: NDArray[np.floating]) -> Pixels:
    """Frames in [0, 1] as they are drawn: uint8 (T, H, W), or (T, H, W, 3) of colour."""
    pixels = (np.clip(frames_TCHW, 0, 1) * 255).round().astype(np.uint8)
    return pixels[:, 0] if pixels.shape[1] == 1 else pixels.transpose(0, 2, 3, 1)


def _check_lengths(videos: Videos, frames: int, place: Path) -> None:
    """InputError when no video holds a window of T frames; a warning of those that hold none."""
    try:
        usable = set(videos.usable(frames))
    except InputError as error:
        raise InputError(f"{error} (the split {place.name!r}): ask for fewer frames") from None
    short = [name for number, name in enumerate(videos.names) if number not in usable]
    if short:
        some = ", ".join(short[:NAMED]) + (", …" if len(short) > NAMED else "")
        warnings.warn(
            f"{videos.root}: {len(short)} of {len(videos)} videos are too short for {frames} frames and left out: "
            f"{some}",
            stacklevel=3,
        )
