"""Writing without leaving halves behind, and fingerprints of folders."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A scratch path beside ``path``, file or folder; renamed to it on success, removed on failure."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    _remove(scratch)
    try:
        yield scratch
        if scratch.is_dir() and path.exists():
            _remove(path)
        os.replace(scratch, path)
    finally:
        _remove(scratch)


def fingerprint(folder: Path) -> str:
    """sha256 over the names and bytes of all files in a folder, in sorted order."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
