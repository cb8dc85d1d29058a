"""Writing without leaving halves behind."""

import json
import os
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from stremn.errors import InputError, short_reason

LOCK = ".lock"  # in a folder that one process works in


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A scratch path beside ``path``, file or folder; renamed to it on success, removed on failure.

    What was at ``path`` stays until the new is complete, and where that cannot take its place.
    """
    scratch = own_name(path, "tmp")
    _remove(scratch)
    try:
        yield scratch
        if scratch.is_dir():
            old = own_name(path, "old")
            swap(scratch, path, old)
            _remove(old)
        else:
            os.replace(scratch, path)
    finally:
        _remove(scratch)


def machine() -> str:
    """This machine, as in file names."""
    return re.sub(r"[^\w-]", "-", platform.node())[:16] or "unnamed"


def own_name(path: Path, kind: str) -> Path:
    """A hidden name beside ``path`` that is this process's own, also among the machines of a shared disk."""
    return path.with_name(f".{path.name}.{machine()}.{os.getpid()}.{kind}")


def swap(new: Path, path: Path, old: Path) -> None:
    """Rename the folder ``new`` to ``path``; what is there goes to ``old`` before, and back if that fails."""
    if not os.path.lexists(path):
        os.replace(new, path)
        return
    _remove(old)
    os.replace(path, old)
    try:
        os.replace(new, path)
    except BaseException:
        os.replace(old, path)
        raise


def claim(folder: Path, wait: float = 0) -> FileLock | None:
    """Hold a folder, which is made, as this process's own: until the lock is released, or the process has ended.

    However it has ended: what cannot be claimed is in use, all else was left behind.

    Args:
        wait: seconds to wait for another process; negative: as long as it lasts.

    Returns:
        The lock, None where another process (or another part of this one) holds the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=wait)
    except Timeout:
        return None
    return lock


def discard(folder: Path) -> None:
    """Delete a folder, and the one that it lies in if nothing else does."""
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        folder.parent.rmdir()


def read_json(path: Path) -> dict[str, Any]:
    """A kept note; empty where there is none or it cannot be read."""
    try:
        content = load_json(path)
    except InputError:
        return {}
    return content if isinstance(content, dict) else {}


def load_json(path: Path, what: str = "JSON") -> Any:
    """The content of a JSON file; InputError, with ``what`` it should be, where it cannot be read."""
    try:
        return parse_json(path.read_bytes(), what, str(path))
    except OSError as error:
        raise InputError(f"expected {what} in {path}, found: {error.strerror or error}") from None


def parse_json(text: str | bytes, what: str, where: str) -> Any:
    """Values of JSON; InputError where it is none, is nested without end, or has numbers of thousands of digits."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"expected {what} in {where}, found: {short_reason(error)}") from None


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a note, whole or not at all; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as scratch:
        scratch.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
