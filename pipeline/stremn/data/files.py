"""Fingerprints of folders."""

import hashlib
from pathlib import Path


def fingerprint(folder: Path) -> str:
    """sha256 over the names and bytes of all files in a folder, in sorted order."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
