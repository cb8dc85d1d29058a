"""Videos for prediction: batches of random windows by step number, and all test windows in order.

B windows, T frames, C channels (1 grey, 3 RGB), H W pixels.
"""

import tokenize
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from stremn.data.batches import Sampler
from stremn.data.clips import Pixels
from stremn.errors import InputError, short_reason
from stremn.files import replacing

NOT_NUMPY = (  # what NumPy raises over a damaged head, which it reads as Python's words
    *(ValueError, OSError, EOFError, SyntaxError, TypeError, KeyError, OverflowError, MemoryError),
    *(RecursionError, tokenize.TokenError),
)
NAMED = 3  # short videos that a warning names


@dataclass(frozen=True)
class Video:
    """A video that is read when it is needed.

    Attributes:
        name: its file's, beginning with the person and ``_`` where there is one.
        length: frames.
        read: gives uint8 (T, H, W) or (T, H, W, 3), the same every time.
        first: number of its first frame in the file.
        action: what a test's strides are looked up by; empty: none.
    """

    name: str
    length: int
    read: Callable[[], Pixels] = field(repr=False)
    first: int = 0
    action: str = ""


class Videos(Sequence[Pixels]):
    """Videos of one split of a dataset.

    Args:
        root: of the dataset, for messages.
        videos: at least one.
        split: its name, for messages.
        interval: a window takes one frame in so many.
        cache: folder for decoded videos (``<name>@<first>-<size>.npy``), read from there by all processes
            without filling their memory; None: a video stays in memory once it is read.
        size: side of the frames in pixels, where there is a cache: a file of another size is not used.
        sampler: of batch, frames and seed: what trains instead of windows of ``videos`` (new sequences).

    Attribute ``left_out``: names of videos that were not taken, for a reason that the opener states.
    """

    def __init__(
        self,
        root: Path,
        videos: Sequence[Video],
        *,
        split: str = "",
        interval: int = 1,
        cache: Path | str | None = None,
        size: int = 0,
        sampler: Callable[[int, int, int], Sampler[Tensor]] | None = None,
    ) -> None:
        if not videos:
            raise InputError(f"expected videos in {root}, found none: unpack the data first")
        self.root, self.videos, self.interval = root, list(videos), interval
        self._where = f"{root} (split {split!r})" if split else str(root)
        self.names = [video.name for video in videos]
        self.left_out: list[str] = []
        self._folder, self._size = None if cache is None else Path(cache), size
        self._sampler = partial(VideoSampler, self) if sampler is None else sampler
        self._ready: dict[int, Pixels] = {}

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int) -> Pixels:  # type: ignore[override]
        """A video, uint8 (T, H, W) or (T, H, W, 3)."""
        if index not in self._ready:
            self._ready[index] = self._read(self.videos[index])
        return self._ready[index]

    def _read(self, video: Video) -> Pixels:
        name = f"{video.name}@{video.first:05d}-{self._size}.npy"
        path = None if self._folder is None else self._folder / name
        kept = None if path is None else self._kept(path, video)
        if kept is not None:
            return kept
        frames = video.read()
        if len(frames) != video.length:
            raise InputError(
                f"expected {video.length} frames of {video.name} from frame {video.first} on in {self.root}, "
                f"found {len(frames)}: get the file again"
            )
        if path is None:
            return frames
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as scratch, scratch.open("wb") as file:
            np.save(file, frames)
        return np.load(path, mmap_mode="r", allow_pickle=False)

    def _kept(self, path: Path, video: Video) -> Pixels | None:
        """A decoded video from the cache; None where there is none, or not what it should be."""
        try:
            frames = mapped_array(path, "decode it again")
        except InputError:
            return None
        shape = (video.length, self._size, self._size)
        return frames if frames.dtype == np.uint8 and frames.shape[:3] == shape else None

    def usable(self, frames: int) -> list[int]:
        """Numbers of the videos that hold a window of T frames; a warning names some that do not.

        Raises:
            InputError: none does.
        """
        span = (frames - 1) * self.interval + 1
        found = [number for number, video in enumerate(self.videos) if video.length >= span]
        if not found:
            longest = max(video.length for video in self.videos)
            raise InputError(
                f"expected videos of at least {span} frames in {self._where}, found at most {longest}: "
                "ask for fewer frames"
            )
        short = [video.name for video in self.videos if video.length < span]
        if short:
            some = ", ".join(short[:NAMED]) + (", …" if len(short) > NAMED else "")
            warnings.warn(
                f"{self._where}: {len(short)} of {len(self)} videos are too short for {frames} frames and left "
                f"out: {some}",
                stacklevel=4,
            )
        return found

    def window(self, index: int, start: int, frames: int) -> Pixels:
        """T frames of a video from ``start`` on, uint8 (T, C, H, W)."""
        part = self[index][start : start + (frames - 1) * self.interval + 1 : self.interval]
        return part[:, None] if part.ndim == 3 else part.transpose(0, 3, 1, 2)

    def sampler(self, batch: int, frames: int, seed: int = 0) -> Sampler[Tensor]:
        """Random windows; its ``batch(step)`` is float32 (B, T, C, H, W) in [0, 1], a function of (seed, step)."""
        return self._sampler(batch, frames, seed)

    def windows(self, frames: int, stride: int | Mapping[str, int]) -> "Windows":
        """All windows of T frames, one starting every ``stride`` frames (or a stride per action), in order."""
        return Windows(self, frames, stride)

    def examples(self, count: int = 6) -> list[tuple[str, Pixels]]:
        """Names and frames of some: the first video of each action, or the first ``count`` where there are none."""
        first: dict[str, int] = {}
        for number, video in enumerate(self.videos):
            first.setdefault(video.action, number)
        if set(first) == {""}:
            return [(self.names[number], self[number]) for number in range(min(count, len(self)))]
        return [(action, self[number]) for action, number in first.items()]


class VideoSampler:
    """Random windows of T frames, a pure function of (seed, step); every video equally often.

    Raises InputError when no video is long enough.
    """

    def __init__(self, videos: Videos, batch: int, frames: int, seed: int = 0) -> None:
        self.videos, self.batch_size, self.frames, self.seed = videos, batch, frames, seed
        self.usable = videos.usable(frames)

    def batch(self, step: int) -> Tensor:
        """float32 (B, T, C, H, W) in [0, 1]."""
        rng = np.random.default_rng([self.seed, step])
        span = (self.frames - 1) * self.videos.interval
        windows = []
        for _ in range(self.batch_size):
            index = self.usable[rng.integers(len(self.usable))]
            start = int(rng.integers(self.videos.videos[index].length - span))
            windows.append(self.videos.window(index, start, self.frames))
        return torch.from_numpy(np.stack(windows)).float().div_(255)


class Windows(Sequence[tuple[str, NDArray[np.floating]]]):
    """Pairs of name ``<video>@<first frame>`` and array float32 (T, C, H, W) in [0, 1], read when asked for.

    Raises InputError when no video is long enough, or there is no stride for an action.
    """

    def __init__(self, videos: Videos, frames: int, stride: int | Mapping[str, int]) -> None:
        self.videos, self.frames = videos, frames
        span = (frames - 1) * videos.interval + 1
        self.starts: list[tuple[int, int]] = []
        for index in videos.usable(frames):
            video = videos.videos[index]
            if not isinstance(stride, int) and video.action not in stride:
                raise InputError(
                    f"expected a stride for the action {video.action} of {video.name}, found {dict(stride)}: "
                    "add it"
                )
            step = stride if isinstance(stride, int) else stride[video.action]
            self.starts += [(index, start) for start in range(0, video.length - span + 1, step)]

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, number: int) -> tuple[str, NDArray[np.floating]]:  # type: ignore[override]
        index, start = self.starts[number]
        video = self.videos.videos[index]
        window = self.videos.window(index, start, self.frames).astype(np.float32) / 255
        return f"{video.name}@{video.first + start:05d}", window


def luma(frame: Pixels) -> Pixels:
    """Luma (ITU-R 601) of a frame (H, W, 3), uint8 (H, W); a grey frame stays as it is."""
    return (frame @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8)


def resized(frames: Pixels, size: int, antialias: bool = False) -> Pixels:
    """Frames (T, H, W) or (T, H, W, 3) as squares of a side in pixels, bilinear.

    Without antialiasing, as OpenCV does it in PredRNN and MIM, so that scores can stand beside theirs.
    """
    if frames.shape[1:3] == (size, size):
        return frames
    planes = frames[:, None] if frames.ndim == 3 else frames.transpose(0, 3, 1, 2)
    pixels = torch.from_numpy(np.ascontiguousarray(planes)).float()
    small = F.interpolate(pixels, (size, size), mode="bilinear", antialias=antialias).round().to(torch.uint8)
    return small[:, 0].numpy() if frames.ndim == 3 else small.permute(0, 2, 3, 1).contiguous().numpy()


def to_pixels(frames_TCHW: NDArray[np.floating]) -> Pixels:
    """Frames in [0, 1] as they are drawn: uint8 (T, H, W), or (T, H, W, 3) of colour."""
    pixels = (np.clip(frames_TCHW, 0, 1) * 255).round().astype(np.uint8)
    return pixels[:, 0] if pixels.shape[1] == 1 else pixels.transpose(0, 2, 3, 1)


def mapped_array(path: Path, advice: str) -> Pixels:
    """An array mapped from a NumPy file; InputError, with ``advice``, where the file is damaged."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
    except NOT_NUMPY as problem:
        raise InputError(
            f"expected a NumPy file, found a damaged one at {path} ({short_reason(problem)}): {advice}"
        ) from None
