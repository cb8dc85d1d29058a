"""Is a file what it should be? By its first and last bytes, and by what was published about it."""

import zipfile
from pathlib import Path

from stremn.errors import InputError
from stremn.files import load_json
from stremn.fingerprint import digests

HEAD = 1024  # bytes that are looked at
TAIL = 1 << 16  # bytes in which a picture's end must be

# First bytes by suffix. PyTorch weights are zip files or, before 2020, pickles.
FIRST: dict[str, tuple[bytes, ...]] = {
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
LAST = {".png": b"IEND\xaeB`\x82", ".jpg": b"\xff\xd9", ".jpeg": b"\xff\xd9"}
CHECKED = {".jpg", ".jpeg", ".png", ".npy", ".json", ".avi", ".mat", ".gz", ".zip", ".txt"}  # in a dataset
TAR_AT, TAR = 257, b"ustar"
PAGE = (b"<!doctype html", b"<html", b"<head", b"<?xml", b"<!--")


def check_head(name: str, head: bytes, source: str, content_type: str = "") -> None:
    """Refuse a file by its first bytes.

    Args:
        name: its name; the suffix says what it should be.
        head: its first bytes, at most ``HEAD``.
        source: where it comes from, for the error.
        content_type: as the server announces it.

    Raises:
        InputError: it is a web page, or not of the kind that its name says.
    """
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith(PAGE) or content_type.split(";")[0].strip().lower() == "text/html":
        raise InputError(
            f"expected the file {name}, found a web page at {source} (a login, a quota or a moved file): "
            "open it in a browser, or see the dataset's page"
        )
    suffix = Path(name).suffix
    not_tar = suffix == ".tar" and head[TAR_AT : TAR_AT + len(TAR)] not in (TAR, b"")
    if not_tar or not head.startswith(FIRST.get(suffix, b"")):
        raise InputError(
            f"expected a {suffix} file as {name}, found other content ({head[:8]!r}) at {source}: "
            "the address may have moved, see the dataset's page"
        )


def check_file(path: Path, name: str, source: str, size: int | None, checksums: dict[str, str]) -> str:
    """Refuse a fetched file that is not whole, not of its kind, or not what was published.

    Args:
        path: where it lies.
        name: its name, also in errors.
        source: where it comes from, for the error.
        size: bytes, None where not published.
        checksums: published ones by algorithm; one may be only the first digits.

    Returns:
        its sha256.

    Raises:
        InputError: one line.
    """
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        raise InputError(f"expected the content of {name}, found an empty file: try again later")
    check_head(name, head, source)
    found_size = path.stat().st_size
    if size not in (None, found_size):
        raise InputError(f"expected {size} bytes of {name}, found {found_size}: get it again")
    found = digests(path, {"sha256", *checksums})
    for algorithm, value in checksums.items():
        if not found[algorithm].startswith(value):
            raise InputError(
                f"expected {name} with {algorithm} {value}, found {found[algorithm]}: it is damaged or was "
                "changed by its owner, and is not used"
            )
    zipped = name.endswith(".zip") or (name.endswith(".pth") and head.startswith(b"PK"))
    if zipped and not zipfile.is_zipfile(path):
        raise InputError(f"expected a whole zip file as {name}, found one without its end: get it again")
    return found["sha256"]


def damage(path: Path) -> str:
    """What is wrong with a file of a dataset, in a few words; the empty text for nothing.

    JPEG and PNG must begin and end as such, an AVI must be as long as it says, JSON must be readable,
    others must not be empty. Pixels are not decoded.
    """
    suffix = path.suffix.lower()
    try:
        size = path.stat().st_size
        if size == 0:
            return "empty"
        if suffix == ".json":
            load_json(path)
            return ""
        if suffix not in FIRST:
            return ""
        with path.open("rb") as file:
            head = file.read(16)
            file.seek(max(0, size - TAIL))
            tail = file.read(TAIL)
    except (OSError, InputError) as error:
        return f"cannot be read ({str(error)[:60]})"
    if not head.startswith(FIRST[suffix]):
        return f"not a {suffix} file"
    short_avi = suffix == ".avi" and int.from_bytes(head[4:8], "little") + 8 > size
    return "cut off" if short_avi or LAST.get(suffix, b"") not in tail else ""
