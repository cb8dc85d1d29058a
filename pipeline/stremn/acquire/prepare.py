"""What the data stage calls: a dataset that is there, and a record by content hash of what was used."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stremn.acquire import index, layout
from stremn.acquire.catalogue import Entry, find
from stremn.acquire.checksum import digests
from stremn.acquire.places import Places, read_json
from stremn.errors import InputError

Record = dict[str, Any]


def raw(root: Path) -> Places:
    """The places of a project: ``data/raw`` below its root."""
    return Places(root / "data" / "raw")


def prepare(
    name: str, root: Path, path: str | Path | None = None, tell: Callable[[int], None] | None = None
) -> tuple[Path, Record]:
    """A dataset on this disk, and what it consists of. Nothing is downloaded, the dataset is only read.

    Args:
        name: as in the catalogue.
        root: the project's root.
        path: where it lies, if not in ``data/raw/<name>`` (from params.yaml); relative to the root.
        tell: called with the bytes of each file that had to be read.

    Returns:
        its folder, and the record: name, path (relative where it is below the root), files, bytes, sha256
        over the sorted (name, size, sha256) of the files, and ``faults``, the number of faults of the layout.

    Raises:
        InputError: it is not there, lacks a main part, or has changed since it was got.
    """
    entry, places = find(name), raw(root)
    if entry.how == "huggingface":
        raise InputError(f"expected a dataset, found the weights {name}: their library finds them itself")
    folder = (root / path) if path is not None else places.folder(name)
    if not folder.is_dir():
        raise InputError(f"expected {entry.title} in {folder}, found nothing: {_how(entry)}")
    faults = layout.require(entry, folder)
    items = index.build(folder, places.seen(name, folder), tell)
    digest = index.content_hash(items)
    got = read_json(places.manifest(name)).get("content", {}).get("sha256")
    if path is None and not folder.is_symlink() and got not in (None, digest):
        raise InputError(
            f"expected {name} as it was got, found changed files: `stremn data check {name} --full` names them"
        )
    shown = os.path.relpath(folder, root) if folder.is_relative_to(root) else str(path)
    return folder, {
        "name": name,
        "path": shown,
        "files": len(items),
        "bytes": sum(item.size for item in items),
        "sha256": digest,
        "faults": len(faults),
    }


def describe(name: str, root: Path, path: str | None) -> tuple[Path, Record]:
    """A dataset of one's own that the catalogue does not have: a folder, or a file. Returns as ``prepare`` does.

    Raises InputError when no path is given, or nothing is there.
    """
    if path is None:
        raise InputError(
            f"expected a path for the dataset {name!r}, which the catalogue does not have: add one"
        )
    place = root / path
    if place.is_file():
        size, digest, count = place.stat().st_size, digests(place)["sha256"], 1
    elif place.is_dir():
        items = index.build(place)
        size, digest, count = sum(item.size for item in items), index.content_hash(items), len(items)
    else:
        raise InputError(f"expected the dataset {name!r} at {place}, found nothing: check the path")
    return place, {"name": name, "path": path, "files": count, "bytes": size, "sha256": digest, "faults": 0}


def _how(entry: Entry) -> str:
    """What a person does to have it."""
    if entry.how == "form":
        return f"`stremn data get {entry.name}` shows how to get it, `--use PATH` takes it from elsewhere"
    return f"`stremn data get {entry.name}` gets it, `--use PATH` takes it from elsewhere"
