"""Getting datasets: fetch several files at a time, unpack aside, check, rename; or link what is already on disk."""

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from rich import progress as bars
from rich.console import Console

from stremn.acquire import installed, layout
from stremn.acquire.catalogue import Entry, File
from stremn.acquire.checks import check_file
from stremn.acquire.download import RESERVE, Download, Stopped, fetch
from stremn.acquire.installed import NOTES, Places, find_installed, read_index
from stremn.acquire.pickled_arrays import keep_arrays
from stremn.acquire.registry import fetch_package
from stremn.acquire.sources import fetch_drive, fetch_hub
from stremn.acquire.unpack import unpack
from stremn.errors import InputError
from stremn.files import claim, read_json, swap, write_json


class Outcome(NamedTuple):
    """What became of one name: ``fetched``, ``installed`` (before) or ``missing`` (a form), and where it is."""

    name: str
    state: str
    path: Path


def get(entries: list[Entry], places: Places, workers: int = 4, keep: bool = False) -> list[Outcome]:
    """Get all entries; those that are installed are skipped.

    Args:
        entries: what to get.
        places: where it is to lie.
        workers: files fetched at a time.
        keep: keep the archives after unpacking.

    Returns:
        one outcome per entry.

    Raises:
        InputError: something could not be had; what could be is there. Partial files are kept.
        KeyboardInterrupt: Ctrl-C; partial files are kept.
    """
    missing = [entry for entry in entries if find_installed(entry, places) is None]
    for entry in missing:
        _check_folder_is_ours(entry, places)
    reachable = [entry for entry in missing if entry.how != "form" or _fetched_by_hand(entry, places)]
    if reachable:
        with _alone(places):
            errors = _fetch_and_install(reachable, places, workers, keep)
        if errors:
            raise InputError("; ".join(errors))
    outcomes = []
    for entry in entries:
        found = find_installed(entry, places)
        state = "missing" if found is None else "fetched" if entry in missing else "installed"
        outcomes.append(Outcome(entry.name, state, found or places.downloads(entry.name)))
    return outcomes


def link(entry: Entry, places: Places, path: Path) -> list[layout.Problem]:
    """Use a dataset in place: a link to it below ``data/raw``; the dataset is only ever read.

    Returns:
        faults of its layout that are not essential.

    Raises:
        InputError: it has not the layout, the link's place is taken, or it cannot be made.
    """
    if entry.how == "huggingface":
        raise InputError(f"expected a dataset, found {entry.name}: its weights live in Hugging Face's cache")
    path = path.expanduser().resolve()
    if not path.is_dir():
        raise InputError(f"expected a folder with {entry.title}, found nothing at {path}: check the path")
    problems = layout.require(entry, path)
    folder = places.folder(entry.name)
    if folder.exists() and not folder.is_symlink():
        raise InputError(f"expected no folder {folder}, found one: move it away, or leave out --use")
    try:
        folder.unlink(missing_ok=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.symlink_to(path, target_is_directory=True)
    except OSError as error:
        raise _not_writable(places, error) from None
    return problems


def _fetch_and_install(entries: list[Entry], places: Places, workers: int, keep: bool) -> list[str]:
    """Fetch everything, then unpack entry by entry; returns what went wrong, in a line each."""
    stop, errors = threading.Event(), []
    pool = ThreadPoolExecutor(workers, thread_name_prefix="fetch")
    bytes_and_speed = bars.DownloadColumn(), bars.TransferSpeedColumn(), bars.TimeRemainingColumn()
    columns = bars.TextColumn("{task.description}"), bars.BarColumn(), *bytes_and_speed
    try:
        with bars.Progress(*columns, console=Console(stderr=True)) as progress:
            jobs = {
                (entry.name, file.name): pool.submit(_fetch_file, entry, file, places, progress, stop)
                for entry in entries
                for file in entry.files
            }
            _wait(set(jobs.values()))
        for entry in entries:
            try:
                hashes = {file.name: jobs[entry.name, file.name].result() for file in entry.files}
                if entry.how != "huggingface":
                    _install(entry, places, hashes, keep, stop)
            except InputError as error:
                errors.append(f"{entry.name}: {error}")
    except BaseException:
        stop.set()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for entry in entries:
            with suppress(OSError):  # not there, or there is something in it
                places.downloads(entry.name).rmdir()
    return errors


def _wait(jobs: set[Future[str]]) -> None:
    """Wait for all, in short naps, so that Ctrl-C is heard at once; an error that is a bug ends it."""
    while jobs:
        done, jobs = wait(jobs, timeout=0.2, return_when=FIRST_EXCEPTION)
        for job in done:
            with suppress(InputError):
                job.result()


def _fetch_file(
    entry: Entry, file: File, places: Places, progress: bars.Progress, stop: threading.Event
) -> str:
    """One file; an existing one that may be used is skipped. Returns its sha256."""
    if file.hub is not None:
        return str(fetch_hub(file.hub, file.name))
    path = places.downloads(entry.name) / file.name
    note = _note(path)
    noted = read_json(note).get("sha256")
    if path.is_file():
        try:
            found = check_file(path, file.name, str(path), file.size, file.checksums)
        except InputError:
            if noted is None:  # put there by a person: judged by the same rules, and never removed
                raise
            found = ""
        if noted in (None, found):
            return found
        path.unlink()
    if stop.is_set():
        raise Stopped
    if file.package is not None:
        fetch_package(file.package, file.sha256 or "", path, stop)
        found = check_file(path, file.name, file.package, file.size, file.checksums)
        write_json(note, {"sha256": found})
        return found
    download = Download(file.name, file.url or "", path, file.size, file.checksums)
    found = (
        fetch_drive(file.drive, download, progress, stop) if file.drive else fetch(download, progress, stop)
    )
    write_json(note, {"sha256": found})
    return found


def _install(entry: Entry, places: Places, hashes: dict[str, str], keep: bool, stop: threading.Event) -> None:
    """Unpack all files of an entry and give the whole its name.

    Raises:
        InputError: an archive is not to be trusted or damaged (one that we fetched is removed), or what
            came out is not the dataset.
    """
    scratch, folder = places.root / ".unpacking" / entry.name, places.folder(entry.name)
    shutil.rmtree(scratch, ignore_errors=True)
    whole = scratch / "whole"
    whole.mkdir(parents=True)
    files, written = [], 0
    try:
        for file in entry.files:
            path = places.downloads(entry.name) / file.name
            source = file.url or file.package or (f"drive:{file.drive}" if file.drive else "by hand")
            size, sha256 = path.stat().st_size, hashes[file.name]
            files.append({"name": file.name, "from": source, "size": size, "sha256": sha256})
            written += _unpack(file, path, whole / file.into, entry.limit - written, stop)
        lost = [problem for problem in layout.check(entry, whole, files=False) if problem.essential]
        if lost:
            raise InputError(
                f"expected {entry.title} in {' and '.join(file.name for file in entry.files)}, found {lost[0]}: "
                f"another file than expected, compare with {entry.page}"
            )
        items = installed.index_folder(whole)
        folder.parent.mkdir(parents=True, exist_ok=True)
        swap(whole, folder, scratch / "old")  # an earlier one of ours goes only now
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        with suppress(OSError):  # another one is being unpacked
            scratch.parent.rmdir()
    installed.write_index(places.index(entry.name), items)
    installed.write_index(places.seen(entry.name, folder), items)
    write_json(
        places.manifest(entry.name), {"name": entry.name, "files": files, "content": installed.summary(items)}
    )
    if not keep and entry.how != "form":
        shutil.rmtree(places.downloads(entry.name), ignore_errors=True)


def _unpack(file: File, path: Path, folder: Path, limit: int, stop: threading.Event) -> int:
    """One fetched file into a folder; returns its bytes."""
    size, free = path.stat().st_size, shutil.disk_usage(path.parent).free - RESERVE
    if size > free:
        raise InputError(f"expected room to unpack {file.name}, found {free / 1e9:.2f} GB free: free some")
    if not file.unpack:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, folder / file.name)
        return size
    try:
        written = unpack(path, folder, min(limit, free), file.strip, stop)
        return keep_arrays(folder, **file.arrays.model_dump()) if file.arrays else written
    except InputError:
        if _note(path).is_file():  # what a person put there is theirs
            path.unlink(missing_ok=True)
        raise


def _note(path: Path) -> Path:
    """The note beside a file that we fetched and accepted."""
    return path.with_name(path.name + ".got.json")


def _fetched_by_hand(entry: Entry, places: Places) -> bool:
    """Whether a person has put all archives of a form's dataset where they belong."""
    named = [places.downloads(entry.name) / file.name for file in entry.files]
    return bool(named) and all(path.is_file() for path in named)


def _check_folder_is_ours(entry: Entry, places: Places) -> None:
    """A folder that is not ours is never replaced."""
    folder = places.folder(entry.name)
    if folder.is_symlink() and not folder.exists():
        raise InputError(
            f"expected {entry.title} in {folder}, found a link to {folder.readlink()}, where nothing is: remove "
            f"the link, or make one anew with `stremn data get {entry.name}{places.option} --use PATH`"
        )
    if folder.is_symlink() or (folder.exists() and not read_index(places.index(entry.name))):
        raise InputError(
            f"expected {entry.title} in {folder}, found something that lacks main parts: "
            f"`stremn data check {entry.name}{places.option}` says which; complete it or move it away"
        )


def _not_writable(places: Places, error: OSError) -> InputError:
    return InputError(
        f"expected to write into {places.root}, could not: {error.strerror}; choose another --root"
    )


@contextmanager
def _alone(places: Places) -> Iterator[None]:
    """One `get` at a time for a folder of raw data."""
    try:
        lock = claim(places.root / NOTES)
    except OSError as error:
        raise _not_writable(places, error) from None
    if lock is None:
        raise InputError(f"expected no other download into {places.root}, found one: wait for it")
    try:
        yield
    finally:
        lock.release()
