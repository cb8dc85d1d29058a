"""What is on this disk: where datasets lie, an index of size and hash of each file, and a record for the data stage."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from stremn import fingerprint
from stremn.acquire import layout
from stremn.acquire.catalogue import Entry, find
from stremn.errors import InputError
from stremn.files import read_json, replacing

NOTES = ".acquired"
Record = dict[str, Any]


@dataclass(frozen=True)
class Places:
    """Paths below one folder of raw data.

    Attributes:
        root: usually ``data/raw``.
        option: what a command that we tell a person needs to find it: nothing, or `` --root DIR``.
    """

    root: Path
    option: str = ""

    def folder(self, name: str) -> Path:
        """The dataset itself: a folder, or a link to one that is used in place."""
        return self.root / name

    def downloads(self, name: str) -> Path:
        """Archives and partial files; also where a person puts archives fetched by hand."""
        return self.root / NOTES / name

    def manifest(self, name: str) -> Path:
        """What was fetched: urls, sizes, hashes."""
        return self.root / NOTES / f"{name}.json"

    def index(self, name: str) -> Path:
        """Size and hash of each file when the dataset was got; written once, compared with later."""
        return self.root / NOTES / f"{name}.index"

    def seen(self, name: str, folder: Path) -> Path:
        """Size and hash of each file of ``folder`` when it was last read; saves reading it again."""
        return self.root / NOTES / f"{name}.{fingerprint.of_values(str(folder.resolve()))[:8]}.seen"


class Item(NamedTuple):
    """One file: its name below the dataset's folder, bytes, time of its last change (ns), sha256."""

    name: str
    size: int
    changed: int
    sha256: str


def index_folder(folder: Path, kept: Path | None = None) -> list[Item]:
    """Index of a folder, sorted by name; the folder is only read.

    Args:
        folder: the dataset.
        kept: an earlier index; a file whose size and time are as there is not read again. Rewritten.
    """
    before = {item.name: item for item in read_index(kept)} if kept else {}
    items = []
    for name, path in layout.files_below(folder):
        stat = path.stat()
        item = before.get(name)
        if item is None or (item.size, item.changed) != (stat.st_size, stat.st_mtime_ns):
            item = Item(name, stat.st_size, stat.st_mtime_ns, fingerprint.digests(path)["sha256"])
        items.append(item)
    items.sort()
    if kept is not None:
        write_index(kept, items)
    return items


def read_index(path: Path) -> list[Item]:
    """A kept index; empty where there is none, lines that cannot be read are left away."""
    items = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            items.append(Item(*json.loads(line)))
        except (ValueError, TypeError):
            continue
    return items


def write_index(path: Path, items: list[Item]) -> None:
    """Keep an index, one line of JSON per file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as scratch:
        scratch.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")


def compare(folder: Path, kept: list[Item], content: bool) -> list[layout.Problem]:
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
            problems.append(layout.Problem(item.name, "missing, was there when it was got"))
        elif (size := path.stat().st_size) != item.size:
            problems.append(layout.Problem(item.name, f"damaged: expected {item.size} bytes, found {size}"))
        elif content and fingerprint.digests(path)["sha256"] != item.sha256:
            problems.append(layout.Problem(item.name, "damaged: its content has changed"))
    return problems


def summary(items: list[Item]) -> Record:
    """Number of files, their bytes, and one sha256 over (name, size, sha256) of all: places and times do not matter."""
    sha256 = fingerprint.of_rows((item.name, item.size, item.sha256) for item in sorted(items))
    return {"files": len(items), "bytes": sum(item.size for item in items), "sha256": sha256}


def find_installed(entry: Entry, places: Places) -> Path | None:
    """Where an entry lies, whole, on this disk; None where something of it is missing.

    What we got must still have every file at its size; what a person put there must have the main parts.
    """
    if entry.how == "huggingface":
        from huggingface_hub import try_to_load_from_cache

        found = [try_to_load_from_cache(file.hub or "", file.name) for file in entry.files]
        paths = [Path(one) for one in found if isinstance(one, str)]
        return paths[0] if paths and len(paths) == len(found) else None
    folder = places.folder(entry.name)
    kept = [] if folder.is_symlink() else read_index(places.index(entry.name))
    if kept:
        return None if compare(folder, kept, content=False) else folder
    return folder if layout.usable(entry, folder) else None


def state(entry: Entry, places: Places) -> str:
    """For a list: here, in place, parts missing, broken link, partly fetched, in cache, or a dash."""
    folder, downloads = places.folder(entry.name), places.downloads(entry.name)
    if entry.how == "huggingface":
        return "in cache" if find_installed(entry, places) else "–"
    if folder.is_dir():
        here = "in place" if folder.is_symlink() else "here"
        return here if layout.usable(entry, folder) else "parts missing"
    if folder.is_symlink():
        return "broken link"
    some = downloads.is_dir() and any(p.is_file() and p.suffix != ".json" for p in downloads.iterdir())
    return "partly fetched" if some else "–"


def project_places(root: Path) -> Places:
    """The places of a project: ``data/raw`` below its root."""
    return Places(root / "data" / "raw")


def prepare(name: str, root: Path, path: str | Path | None = None) -> tuple[Path, Record]:
    """A dataset on this disk, and what it consists of. Nothing is downloaded, the dataset is only read.

    Args:
        name: as in the catalogue.
        root: the project's root.
        path: where it lies, if not in ``data/raw/<name>`` (from params.yaml); relative to the root.

    Returns:
        its folder, and the record: name, path (relative where it is below the root), files, bytes, sha256
        over the sorted (name, size, sha256) of the files, and ``faults``, the number of faults of the layout.

    Raises:
        InputError: it is not there, lacks a main part, or has changed since it was got.
    """
    entry, places = find(name), project_places(root)
    if entry.how == "huggingface":
        raise InputError(f"expected a dataset, found the weights {name}: their library finds them itself")
    folder = (root / path) if path is not None else places.folder(name)
    if not folder.is_dir():
        verb = "shows how to get it" if entry.how == "form" else "gets it"
        raise InputError(
            f"expected {entry.title} in {folder}, found nothing: `stremn data get {name}` {verb}, "
            "`--use PATH` takes it from elsewhere"
        )
    faults = layout.require(entry, folder)
    content = summary(index_folder(folder, places.seen(name, folder)))
    got = read_json(places.manifest(name)).get("content", {}).get("sha256")
    if path is None and not folder.is_symlink() and got not in (None, content["sha256"]):
        raise InputError(
            f"expected {name} as it was got, found changed files: `stremn data check {name} --full` names them"
        )
    shown = os.path.relpath(folder, root) if folder.is_relative_to(root) else str(path)
    return folder, {"name": name, "path": shown, **content, "faults": len(faults)}


def describe(name: str, root: Path, path: str | None) -> tuple[Path, Record]:
    """A dataset of one's own that the catalogue does not have: a folder, or a file. Returns as ``prepare`` does.

    Raises:
        InputError: no path is given, or nothing is there.
    """
    if path is None:
        raise InputError(
            f"expected a path for the dataset {name!r}, which the catalogue does not have: add one"
        )
    place = root / path
    if place.is_file():
        content: Record = {"files": 1, "bytes": place.stat().st_size, **fingerprint.digests(place)}
    elif place.is_dir():
        content = summary(index_folder(place))
    else:
        raise InputError(f"expected the dataset {name!r} at {place}, found nothing: check the path")
    return place, {"name": name, "path": path, **content, "faults": 0}
