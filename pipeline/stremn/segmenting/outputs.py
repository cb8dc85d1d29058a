"""An output folder that is complete or not there, unless what is done is worth keeping."""

import glob
import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psutil

from stremn.errors import InputError, warn
from stremn.files import machine, replacing
from stremn.listing import is_litter

PAGE = "try.png"
"""What ``stremn segment --try`` writes."""


@dataclass
class Output:
    """A scratch folder.

    Attributes:
        folder: where to write.
        keep: on failure, too, it becomes the folder of the results.
    """

    folder: Path
    keep: bool = False


@contextmanager
def output_folder(out: Path | str, ours: Collection[str], *, overwrite: bool = False) -> Iterator[Output]:
    """A scratch folder beside ``out`` that becomes ``out`` on success; on failure nothing stays behind.

    Missing parent folders are made, and removed again on failure. With ``Output.keep`` a failure is a success.
    Where ``out`` has changed meanwhile, it stays, and the results go beside it. What killed runs left is put back or named.

    Args:
        out: the folder; it need not exist.
        ours: names that an earlier run writes into it.
        overwrite: replace earlier results, and nothing else: what is not ours is never removed.

    Raises:
        InputError: a file of that name, a folder that is not empty, or a place that cannot be written; on success,
            too, where ``out`` has changed meanwhile.
    """
    put_back(out)
    _tell_left(Path(out).resolve())
    _check_output(out, ours, overwrite)
    out = Path(out).resolve()
    found = _entries(out)
    made = [parent for parent in out.parents if not parent.exists()]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"expected to make the folder {out.parent}, could not: {error.strerror}") from None
    done, failure = False, None
    try:
        with replacing(out) as scratch:
            try:
                scratch.mkdir()
            except OSError as error:
                raise InputError(f"expected to write beside {out}, could not: {error.strerror}") from None
            output = Output(scratch)
            try:
                yield output
            except BaseException as error:
                if not output.keep:
                    raise
                failure = error
            changed = [path for path, state in _entries(out).items() if found.get(path) != state]
            if changed:
                told = _beside(scratch, out, min(changed))
                if failure is None:
                    raise InputError(told)
                warn(told)
                raise failure
        done = True
    finally:
        if not done:
            with suppress(OSError):  # others may use them by now
                for parent in made:
                    parent.rmdir()
    if failure is not None:
        raise failure


def _check_output(out: Path | str, ours: Collection[str], overwrite: bool) -> None:
    """Refuse an output folder that holds something other than what may be replaced."""
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise InputError(f"expected a folder for the results at {out}, found a file; choose another --out")
    found = sorted(p.name for p in out.iterdir() if not is_litter(p.name)) if out.exists() else []
    foreign = [name for name in found if name not in ours]
    if found and not overwrite:
        raise InputError(
            f"expected a new or empty folder {out}, found {found[0]} in it; add --overwrite to replace it"
        )
    if foreign:
        raise InputError(f"expected only earlier results in {out}, found {foreign[0]}; choose another --out")


def put_back(out: Path | str) -> None:
    """Put earlier results back that a run was replacing when it was killed."""
    out = Path(out).resolve()
    old = [path for path, _ in _left_by_killed(out) if path.suffix == ".old"]
    if old and not os.path.lexists(out):
        os.replace(old[-1], out)
        warn(f"{out} is again what it was before a run that was killed while replacing it")


def _tell_left(out: Path) -> None:
    """Name what killed runs left beside ``out``."""
    for path, number in _left_by_killed(out):
        place = path
        if number == os.getpid():  # as in a container, where every run has the same number
            place = free_beside(out)
            os.replace(path, place)
        masks = sum(1 for _ in (place / "masks").glob("*.png"))
        warn(f"a run that was killed left {place} with {masks} masks: it may be deleted")


def _left_by_killed(out: Path) -> list[tuple[Path, int]]:
    """Scratch folders (``.tmp``) and replaced results (``.old``) of processes that are gone, with their numbers.

    Only of this machine: on a shared disk another's may still run. Names of older versions have no machine.
    """
    name = re.compile(rf"\.{re.escape(out.name)}\.(?:{machine()}\.)?(\d{{1,9}})\.(tmp|old)")
    beside = sorted(out.parent.glob(f".{glob.escape(out.name)}.*"))
    ours = [
        (path, int(known[1])) for path in beside if path.is_dir() and (known := name.fullmatch(path.name))
    ]
    return [(path, pid) for path, pid in ours if pid == os.getpid() or not psutil.pid_exists(pid)]


def _entries(out: Path) -> dict[Path, tuple[int, int]]:
    """What is in a folder, at any depth, or a file of its name, without a system's litter: size and time of change."""
    below = [Path(root) / name for root, folders, files in os.walk(out) for name in (*folders, *files)]
    return {path: _state(path) for path in ([out] if out.is_file() else below) if not is_litter(path.name)}


def _state(path: Path) -> tuple[int, int]:
    try:
        now = path.lstat()
    except OSError:  # it goes just now
        return -1, -1
    return (0, 0) if path.is_dir() else (now.st_size, now.st_mtime_ns)


def _beside(scratch: Path, out: Path, changed: Path) -> str:
    """Rename the scratch folder to a name that is free; what to tell."""
    place = free_beside(out)
    os.replace(scratch, place)
    return (
        f"expected {out} to stay as it was when this run began, found {changed} new or changed: it stays, and "
        f"everything of this run is in {place}"
    )


def free_beside(out: Path) -> Path:
    """A name that is free: that of ``out`` with a number."""
    return next(p for n in count(2) if not os.path.lexists(p := out.with_name(f"{out.name}-{n}")))
