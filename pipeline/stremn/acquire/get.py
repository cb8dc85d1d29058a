"""Getting datasets: several files at a time, each once; and using what is already on disk."""

import fcntl
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from stremn.acquire import index, layout
from stremn.acquire.catalogue import Entry, File
from stremn.acquire.checksum import verify
from stremn.acquire.download import Habits, Wanted, fetch
from stremn.acquire.install import install
from stremn.acquire.places import GOT, KEPT, Places, read_json, write_json
from stremn.acquire.progress import Meter, Stopped
from stremn.acquire.sniff import HEAD, check_head, check_whole
from stremn.acquire.sources import fetch_drive, fetch_hub, find_hub
from stremn.errors import InputError


@dataclass(frozen=True)
class Outcome:
    """What became of one name: where it is, and ``fetched``, ``there`` or ``missing`` (a form), with a word."""

    name: str
    state: str
    text: str


def there(entry: Entry, places: Places) -> Path | None:
    """Where an entry lies, whole, on this disk; None where something of it is missing.

    What we got must still have every file at its size; what a person put there must have the main parts.
    """
    if entry.how == "huggingface":
        found = [find_hub(file.hub or "", file.name) for file in entry.files]
        return found[0] if found and all(found) else None
    folder = places.folder(entry.name)
    if not folder.is_dir():
        return None
    kept = [] if folder.is_symlink() else index.read(places.index(entry.name))
    if kept:
        return None if index.compare(folder, kept, content=False) else folder
    return folder if layout.usable(entry, folder) else None


def get(
    entries: list[Entry],
    places: Places,
    workers: int = 4,
    keep: bool = False,
    habits: Habits | None = None,
    show: bool = True,
) -> list[Outcome]:
    """Get all entries; what is there is not fetched again.

    Args:
        entries: what to get.
        places: where it is to lie.
        workers: files fetched at a time.
        keep: keep the archives after unpacking.
        habits: patience of the downloads.
        show: a progress line.

    Returns:
        one outcome per entry.

    Raises:
        InputError: something could not be had; what could be is there. Partial files are kept.
        KeyboardInterrupt: Ctrl-C; partial files are kept.
    """
    missing = [entry for entry in entries if there(entry, places) is None]
    for entry in missing:
        _free_place(entry, places)
    reachable = [entry for entry in missing if entry.how != "form" or _by_hand(entry, places)]
    if reachable:
        with _alone(places):
            errors = _get(reachable, places, workers, keep, habits or Habits(), show)
        if errors:
            raise InputError("; ".join(errors))
    return [_outcome(entry, places, entry in missing) for entry in entries]


def use(entry: Entry, places: Places, path: Path) -> list[layout.Problem]:
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
    link = places.folder(entry.name)
    if link.exists() and not link.is_symlink():
        raise InputError(f"expected no folder {link}, found one: move it away, or leave out --use")
    try:
        link.unlink(missing_ok=True)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path, target_is_directory=True)
    except OSError as error:
        raise _unwritable(places, error) from None
    return problems


def _get(
    entries: list[Entry], places: Places, workers: int, keep: bool, habits: Habits, show: bool
) -> list[str]:
    """Fetch everything, then unpack entry by entry; returns what went wrong, in a line each."""
    stop, meter = threading.Event(), Meter("fetching", show)
    errors: list[str] = []
    pool = ThreadPoolExecutor(max(1, workers), thread_name_prefix="fetch")
    jobs = {
        (entry.name, file.name): pool.submit(_file, entry, file, places, meter, stop, habits)
        for entry in entries
        for file in entry.files
    }
    try:
        _finish(list(jobs.values()))
        meter.close()
        for entry in entries:
            try:
                hashes = {file.name: jobs[entry.name, file.name].result() for file in entry.files}
                if entry.how != "huggingface":
                    install(entry, places, hashes, keep, stop)
            except InputError as error:
                errors.append(f"{entry.name}: {error}")
    except BaseException:
        stop.set()
        raise
    finally:
        meter.close()
        pool.shutdown(wait=True, cancel_futures=True)
        for entry in entries:
            with suppress(OSError):  # not there, or there is something in it
                places.downloads(entry.name).rmdir()
    return errors


def _finish(jobs: list[Future[str]]) -> None:
    """Wait for all, in short naps, so that Ctrl-C is heard at once."""
    left = set(jobs)
    while left:
        done, left = wait(left, timeout=0.2, return_when=FIRST_EXCEPTION)
        for job in done:
            with suppress(InputError):
                job.result()


def _file(
    entry: Entry, file: File, places: Places, meter: Meter, stop: threading.Event, habits: Habits
) -> str:
    """One file, unless it is there; returns its sha256."""
    if file.hub is not None:
        return str(fetch_hub(file.hub, file.name))
    path = places.downloads(entry.name) / file.name
    note = path.with_name(path.name + GOT)
    found = _accepted(file, path, read_json(note).get("sha256"))
    if found:
        return found
    wanted = Wanted(file.name, file.url or "", path, file.size, file.checksums)
    if stop.is_set():
        raise Stopped
    if file.drive is not None:
        found = fetch_drive(file.drive, wanted, meter, stop, habits)
    else:
        found = fetch(wanted, meter, stop, habits)
    write_json(note, {"sha256": found})
    return found


def _accepted(file: File, path: Path, noted: str | None) -> str | None:
    """sha256 of a file that is there, if it may be used; None: fetch it.

    One that we fetched must be what it was then. One without a note was put there by a person: it is judged
    like one that is fetched, and never removed.
    """
    if not path.is_file():
        return None
    try:
        found = verify(path, file.name, file.size, file.checksums)
        if noted is None:
            with path.open("rb") as opened:
                check_head(file.name, opened.read(HEAD), "", str(path))
            check_whole(path, file.name)
    except InputError:
        if noted is None:
            raise
        found = ""
    if noted is None or found == noted:
        return found
    path.unlink()
    return None


def _by_hand(entry: Entry, places: Places) -> bool:
    """Whether a person has put all archives of a form's dataset into its place."""
    named = [places.downloads(entry.name) / file.name for file in entry.files]
    return bool(named) and all(path.is_file() for path in named)


def _free_place(entry: Entry, places: Places) -> None:
    """A folder that is not ours is never replaced."""
    folder = places.folder(entry.name)
    if folder.is_symlink() and not folder.exists():
        raise InputError(
            f"expected {entry.title} in {folder}, found a link to {folder.readlink()}, where nothing is: remove "
            f"the link, or make one anew with `stremn data get {entry.name}{places.option} --use PATH`"
        )
    if folder.is_symlink() or (folder.exists() and not index.read(places.index(entry.name))):
        raise InputError(
            f"expected {entry.title} in {folder}, found something that lacks main parts: "
            f"`stremn data check {entry.name}{places.option}` says which; complete it or move it away"
        )


def _outcome(entry: Entry, places: Places, was_missing: bool) -> Outcome:
    found = there(entry, places)
    if found is None:
        return Outcome(entry.name, "missing", f"fetch it by hand into {places.downloads(entry.name)}")
    return Outcome(entry.name, "fetched" if was_missing else "there", str(found))


def _unwritable(places: Places, error: OSError) -> InputError:
    return InputError(
        f"expected to write into {places.root}, could not: {error.strerror}; choose another --root"
    )


@contextmanager
def _alone(places: Places) -> Iterator[None]:
    """One `get` at a time for a folder of raw data."""
    path = places.root / KEPT / ".lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as error:
        raise _unwritable(places, error) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(
                f"expected no other download into {places.root}, found one: wait for it"
            ) from None
        yield
