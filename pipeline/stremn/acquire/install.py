"""From fetched files to a dataset's folder: unpack, put together aside, check, rename."""

import os
import shutil
import threading
from contextlib import suppress
from pathlib import Path

from stremn.acquire import index
from stremn.acquire.catalogue import Entry, File
from stremn.acquire.download import RESERVE
from stremn.acquire.layout import check
from stremn.acquire.places import GOT, Places, write_json
from stremn.acquire.unpack import unpack
from stremn.errors import InputError
from stremn.files import swap

SCRATCH = ".unpacking"


def install(
    entry: Entry,
    places: Places,
    fetched: dict[str, str],
    keep: bool = False,
    stop: threading.Event | None = None,
) -> Path:
    """Unpack all files of an entry and give the whole its name.

    Args:
        entry: the dataset; its files lie in ``places.downloads``.
        places: where things lie.
        fetched: sha256 of each file by name.
        keep: keep the archives too.
        stop: when set, it stops and leaves the archives.

    Returns:
        the dataset's folder.

    Raises:
        InputError: an archive is not to be trusted or damaged (one that we fetched is removed), or what
            came out is not the dataset.
    """
    scratch = places.root / SCRATCH / entry.name
    shutil.rmtree(scratch, ignore_errors=True)
    whole = scratch / "whole"
    whole.mkdir(parents=True)
    sizes = {file.name: (places.downloads(entry.name) / file.name).stat().st_size for file in entry.files}
    try:
        written = 0
        for number, file in enumerate(entry.files):
            written += _open(entry, file, places, scratch / str(number), entry.limit - written, stop)
            _merge(scratch / str(number), whole / file.into)
        _check(entry, whole)
        items = index.build(whole)
        _swap(whole, places.folder(entry.name), scratch / "old")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        with suppress(OSError):  # another one is being unpacked
            scratch.parent.rmdir()
    index.write(places.index(entry.name), items)
    index.write(places.seen(entry.name, places.folder(entry.name)), items)
    write_json(places.manifest(entry.name), _manifest(entry, items, sizes, fetched))
    if not keep and entry.how != "form":
        shutil.rmtree(places.downloads(entry.name), ignore_errors=True)
    return places.folder(entry.name)


def _check(entry: Entry, whole: Path) -> None:
    """Refuse what lacks a main part of the dataset; it is gone after that, so its place is not told."""
    lost = [problem for problem in check(entry, whole, files=False) if problem.essential]
    if lost:
        archives = " and ".join(file.name for file in entry.files)
        raise InputError(
            f"expected {entry.title} in {archives}, found {lost[0]}: another file than expected, compare with "
            f"{entry.page}"
        )


def _open(
    entry: Entry, file: File, places: Places, folder: Path, limit: int, stop: threading.Event | None
) -> int:
    """One fetched file into a folder of its own; returns its bytes."""
    path = places.downloads(entry.name) / file.name
    free = shutil.disk_usage(places.root).free - RESERVE
    if path.stat().st_size > free:
        raise InputError(f"expected room to unpack {file.name}, found {free / 1e9:.2f} GB free: free some")
    if not file.unpack:
        folder.mkdir(parents=True)
        shutil.copy2(path, folder / file.name)
        return path.stat().st_size
    try:
        return unpack(path, folder, min(limit, free), file.strip, stop)
    except InputError:
        if path.with_name(path.name + GOT).is_file():  # what a person put there is theirs
            path.unlink(missing_ok=True)
        raise


def _merge(source: Path, target: Path) -> None:
    """Move everything of one folder into another; folders of the same name are merged."""
    target.mkdir(parents=True, exist_ok=True)
    for here, folders, names in os.walk(source):
        to = target / Path(here).relative_to(source)
        for name in folders:
            (to / name).mkdir(exist_ok=True)
        for name in names:
            os.replace(Path(here, name), to / name)


def _swap(whole: Path, folder: Path, old: Path) -> None:
    """Give the new folder its name; an earlier one of ours is taken away only then."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    swap(whole, folder, old)


def _manifest(
    entry: Entry, items: list[index.Item], sizes: dict[str, int], fetched: dict[str, str]
) -> dict[str, object]:
    """What was fetched and what came out, in plain data."""
    files = [
        {
            "name": file.name,
            "from": file.url or (f"drive:{file.drive}" if file.drive else "by hand"),
            "size": sizes[file.name],
            "sha256": fetched[file.name],
        }
        for file in entry.files
    ]
    return {
        "name": entry.name,
        "files": files,
        "content": {
            "files": len(items),
            "bytes": sum(item.size for item in items),
            "sha256": index.content_hash(items),
        },
    }
