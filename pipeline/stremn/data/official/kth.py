"""KTH actions (csc.kth.se/cvap/actions): avi files of 160×120 pixels, 25 frames a second, and frame ranges.

``person<NN>_<action>_d<M>_uncomp.avi`` in the root or below it (one folder for each action), and
``00sequences.txt`` with lines such as ``person01_boxing_d1	frames	1-95, 96-185, 186-245, 246-360``: the frames,
counted from 1, in which the person is at work. One of the 600 videos never existed: ``*missing*`` there.

PredRNN's test starts a window of T frames every T frames, but every 3 for jogging and running: a stride for each
action.
"""

import re
import warnings
from collections.abc import Collection
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from stremn.data.clips import Pixels
from stremn.data.video_file import VideoFile
from stremn.data.videos import Video, Videos, luma, resized
from stremn.errors import InputError
from stremn.listing import files_below

TRAIN, TEST = range(1, 17), range(17, 26)  # persons, as PredRNN divides them
VALIDATION = (15, 16)  # of the training persons
DAMAGED = ("person01_boxing_d4",)  # known to be broken in the official archive
LINE = re.compile(r"(person(\d\d)_([a-z]+)_d\d)\s+(\*missing\*|frames\s+(.*))")


def open_kth(
    root: Path | str,
    split: str = "train",
    *,
    size: int = 128,
    validation: Collection[int] = VALIDATION,
    without: Collection[str] = (),
    cache: Path | str | None = None,
) -> Videos:
    """KTH's videos, grey and square, cut to the frames in which the person is at work.

    Args:
        root: holds ``00sequences.txt`` and the avi files.
        split: train (persons 1–16 but those of ``validation``), val, trainval (1–16) or test (17–25).
        size: side in pixels; the aspect is not kept, as in PredRNN.
        validation: persons of 1–16 kept apart.
        without: names of videos to leave out.
        cache: folder for decoded videos.

    Ranges that follow each other without a gap are one video, as in PredRNN, whose windows cross them.
    A video of ``DAMAGED`` that cannot be read is left out with a warning; any other damaged, missing or
    unlisted file is an InputError that names it (on opening; damage within a file when it is read).
    """
    root = Path(root)
    persons = _persons(split, validation)
    ranges = read_ranges(root / "00sequences.txt")
    files = (p for p in files_below(root, (".avi",)) if re.fullmatch(r"person.*_uncomp", p.stem))
    paths = {p.stem.removesuffix("_uncomp"): p for p in files}
    strange = sorted(set(paths) - set(ranges))
    if strange:
        raise InputError(
            f"expected videos that {root / '00sequences.txt'} names, found {paths[strange[0]]}: remove it"
        )
    videos: list[Video] = []
    left_out = []
    for name, parts in ranges.items():
        if int(name[6:8]) not in persons:
            continue
        if name in without or (name in DAMAGED and _is_damaged(paths.get(name), parts, size)):
            left_out.append(name)
            continue
        if name not in paths:
            raise InputError(
                f"expected the video {name}_uncomp.avi of KTH below {root}, found none: unpack it"
            )
        action = name.split("_")[1]
        for first, last in parts:
            read = partial(_part, paths[name], size, first, last)
            videos.append(Video(name, last - first, read, first, action))
    found = Videos(root, videos, split=split, cache=cache, size=size)
    found.left_out = left_out
    return found


def read_ranges(path: Path) -> dict[str, list[tuple[int, int]]]:
    """Frame ranges by video, counted from 0, last excluded, joined where they touch.

    Raises InputError when the file is missing, names no video, or has a line about a video that cannot be
    understood. A video marked as missing is not in the result.
    """
    if not path.is_file():
        raise InputError(f"expected KTH's frame ranges in {path}, found no such file: download it too")
    found: dict[str, list[tuple[int, int]]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        if not line.startswith("person"):
            continue
        match = LINE.match(line.strip())
        if match and match[4] == "*missing*":
            continue
        pairs = [(int(a) - 1, int(b)) for a, b in re.findall(r"(\d+)-(\d+)", match[5])] if match else []
        rest = re.sub(r"\d+-\d+|[\s,]", "", match[5] or "") if match else line
        if not match or not pairs or rest or any(a < 0 or a >= b for a, b in pairs):
            raise InputError(f"expected frame ranges such as 1-95 in line {number} of {path}, found {line!r}")
        found[match[1]] = _joined(sorted(pairs))
    if not found:
        raise InputError(f"expected lines such as 'person01_boxing_d1 frames 1-95' in {path}, found none")
    return found


def _joined(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined = pairs[:1]
    for first, last in pairs[1:]:
        if first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined


def _persons(split: str, validation: Collection[int]) -> set[int]:
    held = set(validation)
    if not held <= set(TRAIN):
        raise InputError(f"expected validation persons among 1 to 16, found {sorted(held)}")
    splits = {"train": set(TRAIN) - held, "val": held, "trainval": set(TRAIN), "test": set(TEST)}
    if split not in splits:
        raise InputError(f"expected a split of {', '.join(splits)} of KTH, found {split!r}: choose one")
    return splits[split]


def _is_damaged(path: Path | None, parts: list[tuple[int, int]], size: int) -> bool:
    try:
        whole = path is not None and len(_decoded(path, size)) >= max(last for _, last in parts)
        problem = "it is missing" if path is None else "it ends too early"
    except InputError as error:
        whole, problem = False, str(error)
    if not whole:
        warnings.warn(f"{path or DAMAGED[0]}: left out, known to be damaged in KTH ({problem})", stacklevel=3)
    return not whole


def _part(path: Path, size: int, first: int, last: int) -> Pixels:
    frames = _decoded(path, size)
    if len(frames) < last:
        raise InputError(
            f"expected at least {last} frames in {path}, as 00sequences.txt says, found {len(frames)}: get it "
            "again, or name it in 'without'"
        )
    return frames[first:last].copy()


@lru_cache(maxsize=1)
def _decoded(path: Path, size: int) -> Pixels:
    """All frames of a file, grey, (T, S, S); the last file is kept for its other ranges."""
    return resized(np.stack([luma(frame) for _, frame in VideoFile(path)]), size)
