"""Short hashes of what a result depends on: values, files, source code."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from stremn.listing import counts

CHUNK = 1 << 20  # bytes read at a time
LENGTH = 16  # hexadecimal digits kept


def of_values(*parts: Any) -> str:
    """Hash of plain data; the order of keys in a dict does not matter."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def of_bytes(content: bytes) -> str:
    """Hash of bytes."""
    return hashlib.sha256(content).hexdigest()[:LENGTH]


def digests(path: Path, algorithms: Iterable[str] = ("sha256",)) -> dict[str, str]:
    """Whole digests of a file's content by algorithm (sha256, sha1, md5), in one reading."""
    hashers = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            for hasher in hashers.values():
                hasher.update(chunk)
    return {name: hasher.hexdigest() for name, hasher in hashers.items()}


def of_file(path: Path) -> str:
    """Hash of a file's content; the empty text where there is no file."""
    return digests(path)["sha256"][:LENGTH] if path.is_file() else ""


def of_rows(rows: Iterable[Sequence[Any]]) -> str:
    """SHA-256 of rows of plain data, a line of JSON each, in their order."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row).encode() + b"\n")
    return digest.hexdigest()


def of_folder(folder: Path) -> str:
    """SHA-256 of the names and bytes of all files in a folder that count, in sorted order."""
    digest = hashlib.sha256()
    for path in _files(folder):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def of_names(folder: Path) -> str:
    """Hash of the names and sizes of all files in a folder that count, which are not read."""
    return of_values([(path.relative_to(folder).as_posix(), path.stat().st_size) for path in _files(folder)])


def of_source(rooms: Iterable[str]) -> dict[str, str]:
    """Hash of each of the package's own source files in ``rooms`` (folders such as ``memory``, or files), by path."""
    package = Path(__file__).parent
    named = [package / room for room in rooms]
    files = [path for room in named for path in (_files(room) if room.is_dir() else [room])]
    files = sorted(path for path in files if path.suffix == ".py")
    return {path.relative_to(package).as_posix(): of_file(path) for path in files}


def _files(folder: Path) -> list[Path]:
    """Files below a folder that count, as DVC sees them (``.dvcignore``), in sorted order."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if all(counts(part) for part in path.relative_to(folder).parts))
