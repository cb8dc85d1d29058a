"""Names of sequences, from a list or from the files that the benchmarks come with."""

import json
from pathlib import Path

from stremn.errors import InputError


def read_names(text: str) -> list[str]:
    """Names separated by commas or spaces, or the path of a file that lists them.

    Files: one name a line (DAVIS ``ImageSets/2017/val.txt``), pairs of paths a line (DAVIS
    ``ImageSets/480p/val.txt``, the sequence being the folder of the first), or YouTube-VOS ``meta.json``.
    InputError: no such file, a damaged one, no name.
    """
    path = Path(text).expanduser()
    if _is_file(path):
        names = _from_meta(path) if path.suffix.lower() == ".json" else _from_lines(path)
    elif "/" in text or path.suffix.lower() in (".txt", ".json"):
        raise InputError(f"expected names of sequences, or a file that lists them, at {text}, found no file")
    else:
        names = text.replace(",", " ").split()
    if not names:
        raise InputError(f"expected at least one name of a sequence in {text!r}, found none")
    return list(dict.fromkeys(names))


def _is_file(path: Path) -> bool:
    """Whether there is such a file; a list of names can be longer than a file's name may be."""
    try:
        return path.is_file()
    except OSError:
        return False


def _from_lines(path: Path) -> list[str]:
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path}: expected a text file with one name a line, found {error}") from None
    first = [words[0] for words in lines if words]
    return [Path(word).parent.name if "/" in word else word for word in first]


def _from_meta(path: Path) -> list[str]:
    return list(read_meta(path))


def read_meta(path: Path) -> dict[str, dict]:
    """The videos of a YouTube-VOS ``meta.json``: name to {"objects": {id: {"category", "frames"}}}."""
    try:
        videos = json.loads(path.read_text(encoding="utf-8"))["videos"]
        if isinstance(videos, dict) and all(isinstance(video, dict) for video in videos.values()):
            return videos
        found = "something else"
    except (OSError, ValueError, KeyError, TypeError) as error:
        found = f"{type(error).__name__}: {error}"
    raise InputError(f'{path}: expected the meta.json of YouTube-VOS ({{"videos": …}}), found {found}')
