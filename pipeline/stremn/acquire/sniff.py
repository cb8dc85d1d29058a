"""Does a file look like what its name says? Catches web pages in place of files, and cut-off files."""

import zipfile
from pathlib import Path

from stremn.errors import InputError

HEAD = 1024  # bytes that are looked at

# First bytes by suffix. PyTorch weights are zip files or, before 2020, pickles.
MAGIC: dict[str, tuple[bytes, ...]] = {
    ".zip": (b"PK\x03\x04", b"PK\x05\x06"),
    ".gz": (b"\x1f\x8b",),
    ".tgz": (b"\x1f\x8b",),
    ".bz2": (b"BZh",),
    ".xz": (b"\xfd7zXZ\x00",),
    ".npy": (b"\x93NUMPY",),
    ".pth": (b"PK\x03\x04", b"\x80"),
    ".png": (b"\x89PNG\r\n\x1a\n",),
    ".jpg": (b"\xff\xd8",),
    ".jpeg": (b"\xff\xd8",),
    ".avi": (b"RIFF",),
}
TAR_AT, TAR = 257, b"ustar"
_PAGE = (b"<!doctype html", b"<html", b"<head", b"<?xml", b"<!--")


def is_page(head: bytes, content_type: str = "") -> bool:
    """Whether these first bytes, or the announced type, are those of a web page."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return start.startswith(_PAGE) or content_type.split(";")[0].strip().lower() == "text/html"


def check_head(name: str, head: bytes, content_type: str, source: str) -> None:
    """Refuse a file by its first bytes.

    Raises:
        InputError: it is a web page, or not of the kind that its name says.
    """
    if is_page(head, content_type):
        raise InputError(
            f"expected the file {name}, found a web page at {source} (a login, a quota or a moved file): "
            "open it in a browser, or see the dataset's page"
        )
    suffix = Path(name).suffix
    known = MAGIC.get(suffix)
    if suffix == ".tar" and len(head) >= TAR_AT + len(TAR):
        fits = head[TAR_AT : TAR_AT + len(TAR)] == TAR
    else:
        fits = known is None or head.startswith(known)
    if not fits:
        raise InputError(
            f"expected a {suffix} file as {name}, found other content ({head[:8]!r}) at {source}: "
            "the address may have moved, see the dataset's page"
        )


def check_whole(path: Path, name: str) -> None:
    """Refuse a file that is empty, or a zip whose end is missing.

    Raises:
        InputError: one line.
    """
    if path.stat().st_size == 0:
        raise InputError(f"expected the content of {name}, found an empty file: try again later")
    with path.open("rb") as file:
        zipped = name.endswith(".zip") or (name.endswith(".pth") and file.read(2) == b"PK")
    if zipped and not zipfile.is_zipfile(path):
        raise InputError(f"expected a whole zip file as {name}, found one without its end: get it again")
