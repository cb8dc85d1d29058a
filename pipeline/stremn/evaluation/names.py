"""Names of sequences, from a list or from the files that the benchmarks come with."""

from pathlib import Path

from stremn.data.official.youtube_meta import read_meta
from stremn.errors import InputError
from stremn.listing import read_list


def read_names(text: str) -> list[str]:
    """Names separated by commas, or the path of a file that lists them. A name may have spaces in it.

    Files: see ``listing.read_list``: one name a line (DAVIS ``ImageSets/2017/val.txt``), pairs of paths a line (DAVIS
    ``ImageSets/480p/val.txt``, the sequence being the folder of the first), or YouTube-VOS ``meta.json``.
    InputError: no such file, a damaged one, no name.
    """
    path = Path(text).expanduser()
    if _is_file(path):
        is_meta = path.suffix.lower() == ".json"
        names = list(read_meta(path, complete=False)) if is_meta else read_list(path)
    elif "/" in text or path.suffix.lower() in (".txt", ".json"):
        raise InputError(f"expected names of sequences, or a file that lists them, at {text}, found no file")
    else:
        names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise InputError(f"expected at least one name of a sequence in {text!r}, found none")
    return list(dict.fromkeys(names))


def _is_file(path: Path) -> bool:
    """Whether there is such a file; a list of names can be longer than a file's name may be."""
    try:
        return path.is_file()
    except OSError:
        return False
