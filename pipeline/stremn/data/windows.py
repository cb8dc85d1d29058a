"""Windows of grey video for prediction. B windows, T frames, H W pixels.

Files: ``<root>/person<NN>_<action>_d<M>.npy``, uint8 (T, H, W), as KTH names its videos.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stremn.errors import InputError

NAME = re.compile(r"person(\d+)_([a-z]+)_d(\d)$")


def files(root: Path | str) -> list[Path]:
    """The videos of a folder, sorted. Raises InputError when there are none or a name has another form."""
    paths = sorted(Path(root).glob("*.npy"))
    if not paths:
        raise InputError(f"expected videos (*.npy) in {root}, found none: make or unpack the data first")
    for path in paths:
        if not NAME.match(path.stem):
            raise InputError(
                f"expected names like person01_walking_d1.npy, found {path.name}: rename or remove it"
            )
    return paths


def read_video(path: Path) -> NDArray[np.uint8]:
    """A grey video uint8 (T, H, W), mapped from disk. Raises InputError when it is something else."""
    try:
        video = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as problem:
        raise InputError(
            f"expected a NumPy file, found a damaged one at {path} ({problem}): make it again"
        ) from None
    if video.dtype != np.uint8 or video.ndim != 3:
        raise InputError(f"expected uint8 (T, H, W) in {path}, found {video.dtype} {video.shape}: convert it")
    return video


class WindowSampler:
    """Random windows of T frames, a pure function of (seed, step).

    Args:
        root: folder of videos; batch, frames: B and T.

    Raises InputError when no video has T frames.
    """

    def __init__(self, root: Path | str, batch: int, frames: int, seed: int = 0) -> None:
        self.batch_size, self.frames, self.seed = batch, frames, seed
        videos = [np.asarray(read_video(path)) for path in files(root)]
        self.videos = [video for video in videos if len(video) >= frames]
        if not self.videos:
            longest = max(len(video) for video in videos)
            raise InputError(
                f"expected videos of at least {frames} frames in {root}, found at most {longest}"
            )

    def batch(self, step: int) -> Tensor:
        """float32 (B, T, 1, H, W) in [0, 1]."""
        rng = np.random.default_rng([self.seed, step])
        windows = []
        for _ in range(self.batch_size):
            video = self.videos[rng.integers(len(self.videos))]
            start = rng.integers(len(video) - self.frames + 1)
            windows.append(video[start : start + self.frames])
        return torch.from_numpy(np.stack(windows)).float().div_(255)[:, :, None]


def test_windows(
    root: Path | str, frames: int, stride: int | Mapping[str, int]
) -> list[tuple[str, NDArray[np.floating]]]:
    """All windows of T frames, one starting every ``stride`` frames (or a stride per action), in order.

    Returns pairs of name ``<file>@<first frame>`` and array float32 (T, 1, H, W) in [0, 1].
    Raises InputError when there is none, or no stride for an action.
    """
    found: list[tuple[str, NDArray[np.floating]]] = []
    for path in files(root):
        action = NAME.match(path.stem)[2]  # type: ignore[index]
        if not isinstance(stride, int) and action not in stride:
            raise InputError(
                f"expected a stride for the action {action} of {path.name}, found {dict(stride)}: add it"
            )
        step = stride if isinstance(stride, int) else stride[action]
        video = read_video(path)
        for start in range(0, len(video) - frames + 1, step):
            window = np.asarray(video[start : start + frames], dtype=np.float32) / 255
            found.append((f"{path.stem}@{start:04d}", window[:, None]))
    if not found:
        raise InputError(
            f"expected videos of at least {frames} frames in {root}, found none: ask for fewer frames"
        )
    return found


test_windows.__test__ = False  # type: ignore[attr-defined]  # not a test, whatever its name says to pytest
