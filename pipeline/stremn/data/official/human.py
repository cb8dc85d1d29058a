"""Human3.6M in the protocol of MIM (its ``data_provider/human.py``): walking, 128×128, every 10th frame.

Either images ``S<N>_<scenario>[_<take>].<camera>_<frame>.jpg`` in one folder or below it, about 1000×1000 pixels,
every 5th frame of the 50 a second (frames 1, 6, 11, …), as the archives that MIM names hold them; or the official
videos ``S<N>/Videos/<scenario>[ <take>].<camera>.mp4``, of which the same frames are taken. Assumed: a decoder
gives the same frames as the archives' makers saw; the JPEG compression of the archives is not repeated.
"""

import re
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from stremn.data.pictures import Pixels, read_image
from stremn.data.video_file import VideoFile
from stremn.data.videos import Video, Videos, resized
from stremn.errors import InputError
from stremn.listing import files_below, files_in

NAME = re.compile(r"S(\d+)_([A-Za-z]+)(?:_\d+)?\.(\d+)_(\d+)$")
FILE = re.compile(r"Walking(?: \d+)?\.\d+$")
SPLITS = {"train": (1, 5, 6, 7), "val": (8,), "trainval": (1, 5, 6, 7, 8), "test": (9, 11)}  # subjects
APART = 5  # frames from one file to the next
INTERVAL = 2  # MIM takes every second file: 5 frames a second
STRIDE = 5  # files between the starts of two test windows in MIM


def open_human(
    root: Path | str, split: str = "train", *, size: int = 128, cache: Path | str | None = None
) -> Videos:
    """The walking scenes of Human3.6M as videos in colour; one for each subject, take and camera.

    Args:
        root: holds the images, anywhere below it, or the subjects' folders of videos.
        split: trainval is MIM's training set (S1, S5, S6, S7, S8), of which val is S8; test: S9, S11.
        size: side in pixels of the resized middle half of the image.
        cache: folder for decoded videos.

    Test windows start every ``STRIDE`` files and take every second one. Differs: training windows start
    anywhere, in MIM every 10th file. Raises InputError when there is nothing of a subject, a name has
    another form, or a frame is missing.
    """
    root = Path(root)
    if split not in SPLITS:
        raise InputError(f"expected a split of {', '.join(SPLITS)} of Human3.6M, found {split!r}: choose one")
    videos = [
        v for number in SPLITS[split] for v in _of_images(root, number, size) or _of_files(root, number, size)
    ]
    found = {video.name.split("_")[0] for video in videos}
    lost = [f"S{number}" for number in SPLITS[split] if f"S{number}" not in found]
    if lost:
        raise InputError(
            f"expected {lost[0]}_Walking*.jpg or {lost[0]}/Videos/Walking*.mp4 of Human3.6M below {root}, found "
            "none: unpack them"
        )
    return Videos(root, videos, split=split, interval=INTERVAL, cache=cache, size=size)


def _of_images(root: Path, subject: int, size: int) -> list[Video]:
    takes: dict[str, list[tuple[int, Path]]] = {}
    for path in files_below(root, (".jpg",)):
        if not path.name.startswith(f"S{subject}_Walking"):
            continue
        match = NAME.match(path.stem)
        if match is None:
            raise InputError(
                f"expected names like S1_Walking_1.54138969_000001.jpg, found {path}: rename or remove it"
            )
        if match[2] == "Walking":
            takes.setdefault(path.stem.rsplit("_", 1)[0], []).append((int(match[4]), path))
    return [_video(name, sorted(files), size) for name, files in sorted(takes.items())]


def _of_files(root: Path, subject: int, size: int) -> list[Video]:
    videos = []
    for path in files_in(root / f"S{subject}" / "Videos", (".mp4",)):
        if not FILE.match(path.stem):
            continue  # WalkingDog, WalkingTogether: other scenarios
        count = VideoFile(path).declared or 0
        name = f"S{subject}_{path.stem.replace(' ', '_')}"
        videos.append(Video(name, -(-count // APART), partial(_frames_of_file, path, size)))
    return videos


def _video(name: str, files: Sequence[tuple[int, Path]], size: int) -> Video:
    for (frame, path), (after, _) in pairwise(files):
        if after - frame != APART:
            raise InputError(
                f"expected frame {frame + APART} after {path}, found {after}: unpack the archive again"
            )
    return Video(name, len(files), partial(_frames, [path for _, path in files], size))


def _frames(paths: Sequence[Path], size: int) -> Pixels:
    """The middle half of each image, uint8 (T, S, S, 3)."""
    return np.stack([_middle(read_image(path), size) for path in paths])


def _frames_of_file(path: Path, size: int) -> Pixels:
    """The middle half of every 5th frame of a video."""
    return np.stack([_middle(frame, size) for t, (_, frame) in enumerate(VideoFile(path)) if t % APART == 0])


def _middle(image: Pixels, size: int) -> Pixels:
    height, width = image.shape[:2]
    return resized(image[None, height // 4 : -height // 4, width // 4 : -width // 4], size)[0]
