"""Checksums of files, read once."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from stremn.errors import InputError

CHUNK = 1 << 20  # bytes read at a time


def digests(path: Path, kinds: Iterable[str] = ("sha256",)) -> dict[str, str]:
    """Hexadecimal digests of a file's content by kind (sha256, sha1, md5)."""
    hashers = {kind: hashlib.new(kind, usedforsecurity=False) for kind in kinds}
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            for hasher in hashers.values():
                hasher.update(chunk)
    return {kind: hasher.hexdigest() for kind, hasher in hashers.items()}


def verify(path: Path, name: str, size: int | None, published: dict[str, str]) -> str:
    """Compare a file with what was published about it.

    Args:
        path: the file.
        name: what errors call it.
        size: bytes, or None where not published.
        published: checksums by kind; one may be only the first digits.

    Returns:
        its sha256.

    Raises:
        InputError: size or checksum differ.
    """
    found_size = path.stat().st_size
    if size is not None and found_size != size:
        raise InputError(f"expected {size} bytes of {name}, found {found_size}: get it again")
    found = digests(path, {"sha256", *published})
    for kind, value in published.items():
        if not found[kind].startswith(value):
            raise InputError(
                f"expected {name} with {kind} {value}, found {found[kind]}: it is damaged or was changed "
                "by its owner, and is not used"
            )
    return found["sha256"]
