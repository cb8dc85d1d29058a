"""Names of sequences, from a list or from the files that the benchmarks come with."""

from pathlib import Path

from stremn.data.official.youtube_meta import read_meta
from stremn.errors import InputError


def read_names(text: str) -> list[str]:
    """Names separated by commas or spaces, or the path of a file that lists them.

    Files: one name a line (DAVIS ``ImageSets/2017/val.txt``), pairs of paths a line (DAVIS
    ``ImageSets/480p/val.txt``, the sequence being the folder of the first), or YouTube-VOS ``meta.json``.
    InputError: no such file, a damaged one, no name.
    """
    path = Path(text).expanduser()
    if _is_file(path):
        is_meta = path.suffix.lower() == ".json"
        names = list(read_meta(path, complete=False)) if is_meta else _from_lines(path)
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
