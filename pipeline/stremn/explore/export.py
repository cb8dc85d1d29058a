"""Runs are taken along from the page: saved below one folder of this machine, or downloaded as an archive."""

import os
import tempfile
import threading
import time
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from stremn.errors import InputError
from stremn.explore.equivalent import command
from stremn.explore.results import kinds_of, place_in, save_run
from stremn.explore.runs import Run
from stremn.explore.session import Session
from stremn.segmenting.stopped import GIVEN
from stremn.segmenting.writers import DEFAULT, parse_kinds

PAUSE = 0.25  # seconds between two messages
PART = 2**20  # bytes that the browser is sent at once
Tell = Callable[[dict[str, Any]], None]


class Export:
    """Saves one run after the other, in a thread.

    Args:
        folder: everything is saved below it.
        tell: called from the thread with how far it is.
    """

    def __init__(self, folder: Path, tell: Tell) -> None:
        self.folder, self._tell = folder, tell
        self._thread: threading.Thread | None = None
        self._archive: IO[bytes] | None = None
        self._made = 0  # archives

    def about(self, session: Session, run: Run, name: str | None, kinds: list[str]) -> dict[str, Any]:
        """What a run has, a name for its folder that is free (None) or the one that is wished, and its command."""
        known = kinds_of(session, run)
        name = name or self._free_name(session, run)
        fields = {"kinds": known, "name": name, "folder": str(self.folder)}
        given = [] if run.given is None else list(run.given.masks)
        frames = session.pictures.frames
        video = f"{name}/frames" if frames is None or frames.without else self._shown(frames.path)
        try:
            wanted = parse_kinds(kinds) if kinds else DEFAULT
            masks = {frame: f"{name}/{GIVEN}/{frame}.png" for frame in given}
            return fields | {
                "command": command(session, run, video, masks, f"{name}-again", wanted, run.done)
            }
        except InputError as reason:
            return fields | {"why": str(reason)}

    def save(self, session: Session, run: Run, name: str, kinds: list[str], view: str) -> None:
        """Begin to save a run into a folder below ours. Raises InputError for another one, or while it saves."""
        out = place_in(self.folder, name)
        self._begin(lambda told: {"path": str(save_run(session, run, out, kinds, told))}, view)

    def download(self, session: Session, run: Run, name: str, kinds: list[str], view: str) -> None:
        """Begin to make an archive of a run, which ``part`` gives then."""
        inside = Path(name.strip()).name or "run"

        def work(told: Callable[[int, int], None]) -> dict[str, Any]:
            with tempfile.TemporaryDirectory(prefix="stremn-export-") as scratch:
                folder = save_run(session, run, Path(scratch) / "run", kinds, told)
                archive = _zipped(folder, inside)
            size = archive.seek(0, os.SEEK_END)
            self._archive, self._made = archive, self._made + 1
            return {"size": size, "file": f"{inside}.zip", "archive": self._made}

        self._begin(work, view)

    def part(self, archive: int, start: int) -> bytes:
        """Some bytes of an archive, by its number; an InputError where another one was made since."""
        if self._archive is None or archive != self._made:
            raise InputError("expected the archive made last, found another one: download it again")
        self._archive.seek(max(0, start))
        return self._archive.read(PART)

    def wait(self) -> None:
        """Until nothing is being saved."""
        if self._thread is not None:
            self._thread.join()

    def _begin(self, work: Callable[[Callable[[int, int], None]], dict[str, Any]], view: str) -> None:
        if self._thread is not None and self._thread.is_alive():
            raise InputError("expected to save one run at a time, found another being saved: wait for it")
        self._thread = threading.Thread(target=self._work, args=(work, view), daemon=True)
        self._thread.start()

    def _work(self, work: Callable[[Callable[[int, int], None]], dict[str, Any]], view: str) -> None:
        last = 0.0

        def told(written: int, of: int) -> None:
            nonlocal last
            if time.monotonic() - last > PAUSE:
                last = time.monotonic()
                self._tell({"for": view, "written": written, "of": of})

        try:
            end = work(told)
        except (InputError, OSError) as error:
            end = {"problem": str(error)}
        except Exception as error:  # told in the browser, and in full in the log
            end = {"problem": f"{type(error).__name__}: {error}"}
            traceback.print_exc()
        self._tell({"for": view, "finished": True, **end})

    def _free_name(self, session: Session, run: Run) -> str:
        video = Path(session.pictures.name).stem or "video"
        rule = run.policy.name if run.policy is not None else "run"
        name, number = f"results/{video}-{rule}", 1
        while (self.folder / name).exists():
            number += 1
            name = f"results/{video}-{rule}-{number}"
        return name

    def _shown(self, path: Path) -> str:
        """A path as it is named in our folder."""
        path, root = path.resolve(), self.folder.resolve()
        return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _zipped(folder: Path, name: str) -> IO[bytes]:
    """An archive of a folder, under another name, in a file without one."""
    archive = tempfile.TemporaryFile()  # noqa: SIM115
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(folder.rglob("*")):
            dense = path.suffix in (".png", ".mp4")
            kind = zipfile.ZIP_STORED if dense else zipfile.ZIP_DEFLATED
            packed.write(path, Path(name) / path.relative_to(folder), kind)
    return archive
