"""Which files of a folder count, in which order, and lists of names in text files: one idea for all who read folders."""

import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from stremn.errors import InputError

# What systems leave in folders without being asked: nobody misses it.
LITTER = re.compile(
    r"\.DS_Store|\._.*|\.localized|Icon\r|Thumbs\.db|ehthumbs\w*\.db|desktop\.ini|@eaDir|__MACOSX|\.AppleDouble"
    r"|\.ipynb_checkpoints|\.Spotlight-V100|\.fseventsd|\.nfs.*|\.directory",
    re.IGNORECASE,
)
# What belongs to a program or a person, but not to the data: editors' copies, unfinished downloads, waste baskets.
ASIDE = re.compile(
    r"\..*|.*~|~\$.*|#.*#|.*\.(swp|swo|swx|tmp|part|partial|filepart|crdownload|download|aria2|lock)"
    r"|#recycle|#snapshot|\$RECYCLE\.BIN|RECYCLER|System Volume Information|lost\+found|Network Trash Folder"
    r"|Temporary Items|__pycache__",
    re.IGNORECASE,
)
LIST_PATH = re.compile(r"(.*?\.\w{3,4})(?:\s|$)")  # the first path of a line, up to its suffix


def is_litter(name: str) -> bool:
    """Whether a system made this file or folder on its own account, so that it may be lost."""
    return LITTER.fullmatch(name) is not None


def counts(name: str) -> bool:
    """Whether a file or folder of that name is data: not hidden, no system's litter, no editor's or download's part."""
    return not (is_litter(name) or ASIDE.fullmatch(name))


def natural_order(text: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """A sorting key that counts numbers as numbers and letters without their case; the text itself decides ties."""
    parts = re.findall(r"\d+|\D+", text.casefold())
    return tuple((0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts), text


def by_name(path: Path) -> tuple[object, ...]:
    """``natural_order`` of a file's stem, then of its whole name."""
    return natural_order(path.stem), natural_order(path.name)


def entries(folder: Path) -> list[Path]:
    """Files and folders of a folder that count, in natural order; none where there is no folder."""
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if counts(path.name)), key=by_name)


def files_in(folder: Path, suffixes: Collection[str] | None = None) -> list[Path]:
    """Files of a folder that count, in natural order.

    Args:
        suffixes: only these, in lower case, with their dot; a file's own may have any case. None: all.
    """
    return [
        path
        for path in entries(folder)
        if (suffixes is None or path.suffix.lower() in suffixes) and not path.is_dir()
    ]


def files_below(folder: Path, suffixes: Collection[str]) -> Iterator[Path]:
    """As ``files_in``, of a folder and all folders in it that count; links to folders are not followed."""
    for path in entries(folder):
        if path.is_dir():
            yield from () if path.is_symlink() else files_below(path, suffixes)
        elif path.suffix.lower() in suffixes:
            yield path


def folders_in(folder: Path) -> list[str]:
    """Names of the folders in a folder that count, in natural order."""
    return [path.name for path in entries(folder) if path.is_dir()]


def by_stem(files: Iterable[Path]) -> dict[str, Path]:
    """Files by their stems.

    Raises:
        InputError: two files of one stem, both named.
    """
    found: dict[str, Path] = {}
    for path in files:
        if path.stem in found:
            raise InputError(
                f"expected one file for each name in {path.parent}, found {found[path.stem].name} and {path.name}: "
                "move one of them away"
            )
        found[path.stem] = path
    return found


def some(names: Collection[str], at_most: int = 8) -> str:
    """The first few of many names."""
    shown = ", ".join(list(names)[:at_most])
    return shown + (f" and {len(names) - at_most} more" if len(names) > at_most else "")


def read_lines(path: Path) -> list[str]:
    """Lines of a text file (UTF-8 or UTF-16, with or without a byte-order mark), trimmed.

    Empty ones and those that begin with ``#`` are left away.

    Raises:
        InputError: no such file, or one that is no text.
    """
    try:
        content = path.read_bytes()
        if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
            text = content.decode("utf-16")
        elif b"\0" in content[:2]:
            text = content.decode("utf-16-be" if content[:1] == b"\0" else "utf-16-le")
        else:
            text = content.decode("utf-8-sig")
    except OSError as error:
        raise InputError(
            f"expected a list at {path}, found none ({error.strerror}): check the path"
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"expected a text file with one name a line at {path}, found {error}: save it as UTF-8 text"
        ) from None
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def read_list(path: Path) -> list[str]:
    """Names of sequences, each once: one a line, or paths of frames (``/JPEGImages/480p/bear/00000.jpg …``).

    A name may have spaces in it. Raises InputError as ``read_lines`` does, and where there is no name.
    """
    names = [_sequence(line) for line in read_lines(path)]
    if not names:
        raise InputError(f"expected names of sequences in {path}, found none: write one a line")
    return list(dict.fromkeys(names))


def _sequence(line: str) -> str:
    path = LIST_PATH.match(line.replace("\\", "/"))
    return Path(path[1]).parent.name if path and "/" in path[1] else line.strip("/")
