"""Moving MNIST: two digits that move straight on, bounce off the walls and pass through each other.

``mnist_test_seq.npy`` (cs.toronto.edu/~nitish/unsupervised_video), uint8 (20, 10000, 64, 64), is the public test
set. All else is generated from the digits of MNIST: ``train-images-idx3-ubyte`` or, without it,
``t10k-images-idx3-ubyte``, either as it is or as ``.gz``. Source: Srivastava et al. 2015, Sec. 4.1 (two digits, a
random direction, a fixed speed, the larger value where they overlap).
"""

import gzip
import struct
import zlib
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stremn.data.clips import Pixels
from stremn.data.videos import Video, Videos, mapped_array
from stremn.errors import InputError

IMAGES = ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte")
TEST = "mnist_test_seq.npy"
SHARES = {"train": (0.0, 0.8), "val": (0.8, 0.9), "test": (0.9, 1.0)}  # of the digits, for generated sets
SPEED = 0.1  # of the way from wall to wall, per frame


class DigitSampler:
    """New sequences of T frames, a pure function of (seed, step).

    Args:
        digits: uint8 (N, 28, 28); batch, frames: B and T.
    """

    def __init__(self, digits: Pixels, batch: int, frames: int, seed: int = 0) -> None:
        self.digits, self.batch_size, self.frames, self.seed = digits, batch, frames, seed

    def batch(self, step: int) -> Tensor:
        """float32 (B, T, 1, S, S) in [0, 1]."""
        made = [move(self.digits, (self.seed, 1, step, n), self.frames) for n in range(self.batch_size)]
        return torch.from_numpy(np.stack(made)).float().div_(255)[:, :, None]


def move(digits: Pixels, seed: tuple[int, ...], length: int, size: int = 64, each: int = 2) -> Pixels:
    """One sequence, uint8 (T, S, S), the same for the same seed.

    Differs: a digit is mirrored at a wall exactly; Srivastava's code stops it at the wall for that frame.
    """
    rng = np.random.default_rng(seed)
    side = digits.shape[1]
    frames = np.zeros((length, size, size), np.uint8)
    for picture in digits[rng.integers(len(digits), size=each)]:
        turn = rng.uniform(0, 2 * np.pi)
        speed = SPEED * np.array([np.sin(turn), np.cos(turn)])
        way = rng.random(2) + np.arange(length)[:, None] * speed
        place = 1 - np.abs(way % 2 - 1)  # 0 to 1 and back, as a ball between walls
        for frame, (y, x) in zip(frames, (place * (size - side)).astype(int), strict=True):
            part = frame[y : y + side, x : x + side]
            np.maximum(part, picture, out=part)
    return frames


def open_moving_mnist(
    root: Path | str, split: str = "train", *, generated: bool = False, count: int = 1000, length: int = 20
) -> Videos:
    """Moving MNIST. Training makes new sequences of any length in every batch; val and test are fixed.

    Args:
        root: holds ``mnist_test_seq.npy`` (for test) and a file of digits (for train and val).
        split: train, val or test. The digits of train (first 80 %) and val (next 10 %) differ.
        generated: make test too, of the last 10 % of the digits; such scores do not compare with published ones.
        count, length: sequences and frames of a generated val or test set.

    Raises InputError, naming the path, when a file is missing or damaged.
    """
    root = Path(root)
    if split not in SHARES:
        raise InputError(
            f"expected a split of {', '.join(SHARES)} of Moving MNIST, found {split!r}: choose one"
        )
    if split == "test" and not generated:
        path = root / TEST
        frames, number = _test_set(path).shape[:2]
        videos = [Video(f"test{n:05d}", frames, partial(_test_video, path, n)) for n in range(number)]
        return Videos(root, videos, split=split)
    digits = read_digits(root)
    low, high = (round(share * len(digits)) for share in SHARES[split])
    digits, seed = digits[low:high], zlib.crc32(split.encode())
    fixed = [Video(f"digits{n:05d}", length, partial(move, digits, (seed, n), length)) for n in range(count)]
    return Videos(root, fixed, split=split, sampler=partial(DigitSampler, digits))


def read_digits(root: Path) -> Pixels:
    """The pictures of MNIST in a folder, uint8 (N, 28, 28), the training file's if it is there."""
    paths = [root / (name + end) for name in IMAGES for end in ("", ".gz")]
    path = next((p for p in paths if p.is_file()), None)
    if path is None:
        raise InputError(f"expected {paths[0]}[.gz] or {IMAGES[1]}[.gz], found neither: download MNIST there")
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        magic, number, height, width = struct.unpack(">4I", data[:16])
    except (OSError, EOFError, zlib.error, struct.error) as problem:
        raise InputError(
            f"expected an idx file of pictures, found a damaged one at {path} ({problem}): get it again"
        ) from None
    if magic != 2051 or len(data) != 16 + number * height * width or not number:
        raise InputError(
            f"expected {number} pictures of {width}x{height} in the idx file {path}, found {len(data)} bytes with "
            f"the magic number {magic}: get it again"
        )
    return np.frombuffer(data, np.uint8, offset=16).reshape(number, height, width)


@lru_cache(maxsize=1)
def _test_set(path: Path) -> Pixels:
    if not path.is_file():
        raise InputError(f"expected the public test set {path}, found no such file: download it there")
    data = mapped_array(path, "get it again")
    if data.dtype != np.uint8 or data.ndim != 4 or data.shape[2:] != (64, 64):
        raise InputError(f"expected uint8 (20, 10000, 64, 64) in {path}, found {data.dtype} {data.shape}")
    return data


def _test_video(path: Path, number: int) -> Pixels:
    return np.ascontiguousarray(_test_set(path)[:, number])
