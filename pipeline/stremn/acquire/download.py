"""Fetching one file over HTTP: resumed after a cut, never accepted when in doubt.

The bytes go to ``<name>.part``; beside it ``<name>.part.json`` keeps the address, the server's ETag or date,
and the size. Only a file whose size (and checksum, where published) is right gets its name.
"""

import errno
import re
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import requests
import urllib3
from requests.adapters import HTTPAdapter
from rich.progress import Progress, TaskID

from stremn.acquire.checks import HEAD, check_file, check_head
from stremn.errors import InputError, short_reason
from stremn.files import read_json, write_json

TRIES = 5  # failures in a row without a new byte, after which a download gives up
PAUSE = 1.0  # seconds between tries, doubled each time
LONGEST_PAUSE = 60.0  # seconds, also when the server asks for more
TIMEOUT = 30.0  # seconds to connect, and of silence
BUSY = {408, 425, 429, 500, 502, 503, 504}  # answers after which the server is asked again
CHUNK = 1 << 18  # bytes read at a time
RESERVE = 64 << 20  # bytes of disk that stay free
RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")


class Stopped(Exception):
    """The person pressed Ctrl-C; partial files stay."""


@dataclass(frozen=True)
class Download:
    """One file to fetch.

    Attributes:
        name: its name; errors call it so.
        url: its address.
        path: where it is to lie.
        size: bytes where published.
        checksums: published ones by algorithm; one may be only the first digits.
    """

    name: str
    url: str
    path: Path
    size: int | None = None
    checksums: dict[str, str] = field(default_factory=dict)

    @property
    def part(self) -> Path:
        """The partial file."""
        return self.path.with_name(self.path.name + ".part")

    @property
    def note(self) -> Path:
        """What is remembered about the partial file."""
        return self.path.with_name(self.path.name + ".part.json")

    @property
    def have(self) -> int:
        """Bytes of the partial file."""
        return self.part.stat().st_size if self.part.is_file() else 0

    def forget(self) -> None:
        """Remove the partial file and what is remembered of it."""
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def fetch(download: Download, progress: Progress, stop: threading.Event) -> str:
    """Fetch a file; a partial file of the same address and version is completed.

    Args:
        download: the file.
        progress: shows its bytes.
        stop: when set, the download stops and keeps what it has.

    Returns:
        sha256 of the file, which now lies at ``download.path``.

    Raises:
        InputError: it cannot be had, or what came is not what was expected; nothing damaged is kept.
        Stopped: ``stop`` was set.
    """
    download.path.parent.mkdir(parents=True, exist_ok=True)
    if read_json(download.note).get("url") != download.url:
        download.forget()
    resumed = download.have > 0
    with _session(stop) as session:
        task = progress.add_task(download.name, total=download.size)
        transfer = _Transfer(download, session, progress, task, stop)
        transfer.complete()
        try:
            return accept(download)
        except InputError:
            if not resumed:
                raise
        transfer.complete()  # the old part was bad: once more, from the first byte
        return accept(download)


def accept(download: Download) -> str:
    """Give a complete partial file its name, if it is what was published; otherwise remove it.

    Returns:
        its sha256.
    """
    try:
        found = check_file(download.part, download.name, download.url, download.size, download.checksums)
    except InputError:
        download.forget()
        raise
    download.part.replace(download.path)
    download.note.unlink(missing_ok=True)
    return found


def _session(stop: threading.Event) -> requests.Session:
    """Asks again when a server is busy or cannot be reached; its pauses end when ``stop`` is set."""

    class Retries(urllib3.Retry):
        def sleep(self, response: urllib3.BaseHTTPResponse | None = None) -> None:
            asked = self.get_retry_after(response) if response is not None else None
            if stop.wait(min(LONGEST_PAUSE, asked or self.get_backoff_time())):
                raise Stopped

    retries = Retries(
        TRIES - 1,
        status_forcelist=BUSY,
        backoff_factor=PAUSE,
        respect_retry_after_header=True,
        raise_on_status=False,
    )
    session = requests.Session()
    session.headers.update({"Accept-Encoding": "identity", "User-Agent": "stremn"})
    session.mount("http://", HTTPAdapter(max_retries=retries))
    session.mount("https://", HTTPAdapter(max_retries=retries))
    return session


@dataclass(frozen=True)
class _Transfer:
    """The way of one file's bytes from the server to its partial file."""

    download: Download
    session: requests.Session
    progress: Progress
    task: TaskID
    stop: threading.Event

    def complete(self) -> None:
        """Ask for what is missing until nothing is."""
        failures, best = 0, self.download.have
        while fault := self._attempt():
            have = self.download.have
            failures, best = (1, have) if have > best else (failures + 1, best)
            if failures >= TRIES:
                raise self._gave_up(fault)
            if self.stop.wait(min(PAUSE * 2 ** (failures - 1), LONGEST_PAUSE)):
                raise Stopped

    def _attempt(self) -> str:
        """One request and its bytes; returns why the file is not complete yet, the empty text when it is."""
        if self.stop.is_set():
            raise Stopped
        url, headers = self.download.url, _resume_headers(self.download)
        try:
            with self.session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
                return self._receive(response)
        except urllib3.exceptions.HTTPError as error:  # while the body came
            return f"a failed connection ({short_reason(error)})"
        except requests.RequestException as error:  # the session has tried often enough
            raise self._gave_up(f"a failed connection ({short_reason(error)})") from None
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise InputError(
                    f"expected room for {self.download.name}, found a full disk: free some, the partial file is kept"
                ) from None
            raise

    def _gave_up(self, fault: str) -> InputError:
        return InputError(
            f"expected {self.download.name} from {self.download.url}, found {fault} ({TRIES} times): "
            "try again later, it goes on where it stopped"
        )

    def _receive(self, response: requests.Response) -> str:
        """What an answer means for the partial file, and its bytes; returns as ``_attempt`` does."""
        download, status, headers = self.download, response.status_code, response.headers
        answer = f"the answer {status} ({response.reason})"
        if status in BUSY:
            raise self._gave_up(answer)
        if status not in (200, 206, 416):
            raise InputError(
                f"expected {download.name} at {download.url}, found {answer}: "
                "the file may have moved, see the dataset's page"
            )
        chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
        length = headers.get("Content-Length", "").strip()
        start, total = 0, int(length) if length.isdigit() and not chunked else None
        if status != 200:  # what is missing, or (416) nothing because all of it is here
            start, (fits, total) = download.have, _continues(download, headers)
            if not fits:
                download.forget()
                return f"another version of {download.name} than the one begun"
        _check_size_and_room(download, start, total)
        note = {"etag": headers.get("ETag", ""), "modified": headers.get("Last-Modified", ""), "total": total}
        write_json(download.note, {"url": download.url, **note})
        total = total or download.size
        self.progress.reset(self.task, total=total, completed=start)
        have = start if status == 416 else self._copy(response, start)
        if total is None and not (chunked or length.isdigit() or download.checksums):
            raise InputError(
                f"expected a size or a checksum for {download.name}, found neither: a cut file could not be "
                "told from a whole one; fetch it by hand from the dataset's page"
            )
        return "" if total is None or have >= total else f"{have} of {total} bytes"

    def _copy(self, response: requests.Response, start: int) -> int:
        """Bytes of the body to the partial file; returns its size."""
        at = start
        with self.download.part.open("r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            while chunk := response.raw.read(CHUNK, decode_content=False):
                if at == 0:
                    self._check_head(chunk, response)
                file.write(chunk)
                at += len(chunk)
                self.progress.advance(self.task, len(chunk))
                if self.stop.is_set():
                    raise Stopped
        return at

    def _check_head(self, chunk: bytes, response: requests.Response) -> None:
        """Refuse a web page, or another kind of file, before the rest of it comes."""
        kind = response.headers.get("Content-Type", "")
        try:
            check_head(self.download.name, chunk[:HEAD], self.download.url, kind)
        except InputError:
            self.download.forget()
            raise


def _resume_headers(download: Download) -> dict[str, str]:
    """Ask for what is missing, and only if the file is still the same (by a strong ETag, or the date)."""
    if download.have == 0:
        return {}
    note = read_json(download.note)
    etag = str(note.get("etag") or "")
    same = etag if etag and not etag.startswith("W/") else str(note.get("modified") or "")
    return {"Range": f"bytes={download.have}-"} | ({"If-Range": same} if same else {})


def _continues(download: Download, headers: Mapping[str, str]) -> tuple[bool, int | None]:
    """Whether an answer goes on where the partial file ends, in the same version; and the whole file's size."""
    found = RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if found is None:
        return False, None
    total = int(found[2]) if found[2].isdigit() else None
    note, now = read_json(download.note), {"etag": headers.get("ETag"), "total": total}
    same = all(now[key] == note.get(key) for key in now if now[key] and note.get(key))
    return same and download.have == (int(found[1]) if found[1] else total), total


def _check_size_and_room(download: Download, start: int, total: int | None) -> None:
    """Refuse a file whose announced size is not the published one, and one that cannot fit on the disk."""
    if total is not None and download.size not in (None, total):
        download.forget()
        raise InputError(
            f"expected {download.size} bytes of {download.name}, the server announces {total}: "
            "the file was changed by its owner, or this is another one"
        )
    missing = (total or download.size or 0) - start
    free = shutil.disk_usage(download.path.parent).free
    if missing + RESERVE > free:
        raise InputError(
            f"expected room for {missing / 1e9:.2f} GB of {download.name}, found {free / 1e9:.2f} GB free in "
            f"{download.path.parent}: free some, or choose another folder with --root"
        )
