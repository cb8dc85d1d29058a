"""Size and hash of each file of a dataset, kept so that nothing is read twice, and one hash over all."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stremn.acquire.checksum import digests
from stremn.acquire.layout import Problem, walk
from stremn.files import replacing


@dataclass(frozen=True)
class Item:
    """One file: its name below the dataset's folder, bytes, time of its last change (ns), sha256."""

    name: str
    size: int
    changed: int
    sha256: str


def build(folder: Path, kept: Path | None = None, tell: Callable[[int], None] | None = None) -> list[Item]:
    """Index of a folder, sorted by name; the folder is only read.

    Args:
        folder: the dataset.
        kept: an earlier index; a file whose size and time are as there is not read again. Rewritten.
        tell: called with the bytes of each file that was read.
    """
    before = {item.name: item for item in read(kept)} if kept else {}
    items = []
    for name, path in walk(folder):
        stat = path.stat()
        old = before.get(name)
        if old is not None and (old.size, old.changed) == (stat.st_size, stat.st_mtime_ns):
            items.append(old)
            continue
        items.append(Item(name, stat.st_size, stat.st_mtime_ns, digests(path)["sha256"]))
        if tell is not None:
            tell(stat.st_size)
    items.sort(key=lambda item: item.name)
    if kept is not None:
        write(kept, items)
    return items


def content_hash(items: list[Item]) -> str:
    """sha256 over the sorted (name, size, sha256) of all files: places and times do not matter."""
    digest = hashlib.sha256()
    for item in sorted(items, key=lambda item: item.name):
        digest.update(json.dumps([item.name, item.size, item.sha256]).encode() + b"\n")
    return digest.hexdigest()


def read(path: Path) -> list[Item]:
    """A kept index; empty where there is none, lines that cannot be read are left away."""
    if not path.is_file():
        return []
    items = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            items.append(Item(*json.loads(line)))
        except (ValueError, TypeError):
            continue
    return items


def write(path: Path, items: list[Item]) -> None:
    """Keep an index, one line of JSON per file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps([i.name, i.size, i.changed, i.sha256]) for i in items]
    with replacing(path) as scratch:
        scratch.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def compare(folder: Path, kept: list[Item], content: bool) -> list[Problem]:
    """What differs from the index that was written when the dataset was got.

    Args:
        folder: the dataset.
        kept: the index.
        content: read every file and compare its hash; otherwise sizes only.
    """
    problems = []
    for item in kept:
        path = folder / item.name
        if not path.is_file():
            problems.append(Problem(item.name, "missing, was there when it was got"))
        elif path.stat().st_size != item.size:
            problems.append(
                Problem(item.name, f"damaged: expected {item.size} bytes, found {path.stat().st_size}")
            )
        elif content and digests(path)["sha256"] != item.sha256:
            problems.append(Problem(item.name, "damaged: its content has changed"))
    return problems
