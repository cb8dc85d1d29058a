"""Fetching one file over HTTP: resumed after a cut, never accepted when in doubt.

The bytes go to ``<name>.part``; beside it ``<name>.part.json`` keeps the address, the server's ETag or date,
and the size. Only a file whose size (and checksum, where published) is right gets its name.
"""

import errno
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import urllib3

from stremn.acquire import sniff
from stremn.acquire.checksum import verify
from stremn.acquire.network import words
from stremn.acquire.places import PART, read_json, write_json
from stremn.acquire.progress import Meter, Stopped
from stremn.acquire.response import Again, Plan, Restart, judge, plan_of, resume_headers
from stremn.errors import InputError

CHUNK = 1 << 18  # bytes read at a time
RESERVE = 64 << 20  # bytes of disk that stay free
CUT = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    urllib3.exceptions.HTTPError,
)


@dataclass(frozen=True)
class Habits:
    """How patient a download is.

    Attributes:
        tries: failures in a row without one new byte, after which it gives up.
        pause: seconds before the second try; doubled each time.
        longest: longest pause in seconds, also when the server asks for more.
        timeout: seconds to connect, and of silence.
    """

    tries: int = 5
    pause: float = 1.0
    longest: float = 60.0
    timeout: float = 30.0


@dataclass(frozen=True)
class Wanted:
    """One file to fetch.

    Attributes:
        name: its name; errors call it so.
        url: its address.
        path: where it is to lie.
        size: bytes where published.
        checksums: published ones by kind.
    """

    name: str
    url: str
    path: Path
    size: int | None
    checksums: dict[str, str]

    @property
    def part(self) -> Path:
        """The partial file."""
        return self.path.with_name(self.path.name + PART)

    @property
    def note(self) -> Path:
        """What is remembered about the partial file."""
        return self.path.with_name(self.path.name + PART + ".json")


def fetch(wanted: Wanted, meter: Meter, stop: threading.Event, habits: Habits | None = None) -> str:
    """Fetch a file; what is there of it already is not fetched again.

    Args:
        wanted: the file.
        meter: counts the bytes.
        stop: when set, the download stops and keeps what it has.
        habits: patience.

    Returns:
        sha256 of the file, which now lies at ``wanted.path``.

    Raises:
        InputError: it cannot be had, or what came is not what was expected; nothing damaged is kept.
        Stopped: ``stop`` was set.
    """
    habits = habits or Habits()
    wanted.path.parent.mkdir(parents=True, exist_ok=True)
    resumed = _size(wanted.part) > 0
    _bytes(wanted, meter, stop, habits)
    try:
        return accept(wanted)
    except InputError:
        if not resumed:
            raise
    _bytes(wanted, meter, stop, habits)  # the old part was bad: once more, from the first byte
    return accept(wanted)


def accept(wanted: Wanted) -> str:
    """Give a complete partial file its name, if it is what was published; otherwise remove it.

    Returns:
        its sha256.
    """
    try:
        with wanted.part.open("rb") as file:
            sniff.check_head(wanted.name, file.read(sniff.HEAD), "", wanted.url)
        found = verify(wanted.part, wanted.name, wanted.size, wanted.checksums)
        sniff.check_whole(wanted.part, wanted.name)
    except InputError:
        forget(wanted)
        raise
    wanted.part.replace(wanted.path)
    wanted.note.unlink(missing_ok=True)
    return found


def forget(wanted: Wanted) -> None:
    """Remove a partial file and what is remembered of it."""
    wanted.part.unlink(missing_ok=True)
    wanted.note.unlink(missing_ok=True)


def _bytes(wanted: Wanted, meter: Meter, stop: threading.Event, habits: Habits) -> None:
    """Try until the partial file is complete."""
    if read_json(wanted.note).get("url") != wanted.url:
        forget(wanted)
    failures, best = 0, _size(wanted.part)
    with requests.Session() as session:
        while True:
            try:
                return _once(wanted, session, meter, stop, habits)
            except Again as again:
                have = _size(wanted.part)
                if isinstance(again, Restart):
                    meter.back(have)
                    forget(wanted)
                failures, best = (1, have) if have > best else (failures + 1, best)
                if failures >= habits.tries:
                    raise InputError(
                        f"expected {wanted.name} from {wanted.url}, found {again} ({failures} times): "
                        "try again later, it goes on where it stopped"
                    ) from None
                pause = max(habits.pause * 2 ** (failures - 1), again.wait)
                if stop.wait(min(pause, habits.longest)):
                    raise Stopped from None


def _once(
    wanted: Wanted, session: requests.Session, meter: Meter, stop: threading.Event, habits: Habits
) -> None:
    """One request and its bytes; returns when the partial file is complete."""
    if stop.is_set():
        raise Stopped
    have, note = _size(wanted.part), read_json(wanted.note)
    headers = {"Accept-Encoding": "identity", "User-Agent": "stremn", **resume_headers(have, note)}
    try:
        with session.get(wanted.url, headers=headers, stream=True, timeout=habits.timeout) as response:
            plan = plan_of(response, have, note, wanted.name, wanted.url)
            if plan.done:
                return
            if plan.start < have:
                meter.back(have - plan.start)
            _check_size(wanted, plan)
            _check_room(wanted, plan)
            _remember(wanted, plan)
            _copy(wanted, response.raw, plan, meter, stop)
    except requests.exceptions.SSLError as error:
        raise InputError(f"expected a trusted connection to {wanted.url}, found {words(error)}") from None
    except CUT as error:
        raise Again(f"a failed connection ({words(error)})") from None
    except requests.RequestException as error:
        raise InputError(f"expected a file at {wanted.url}, found {words(error)}") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(
                f"expected room for {wanted.name}, found a full disk: free some, the partial file is kept"
            ) from None
        raise


def _copy(wanted: Wanted, raw: Any, plan: Plan, meter: Meter, stop: threading.Event) -> None:
    """Bytes of the response to the partial file, and the decision whether they are all."""
    meter.expect(wanted.name, plan.total or wanted.size or 0, plan.start)
    at = plan.start
    with wanted.part.open("r+b" if plan.start else "wb") as file:
        file.seek(plan.start)
        file.truncate()
        while chunk := raw.read(CHUNK, decode_content=False):
            if at == 0:
                _judge_head(wanted, chunk, plan.content_type)
            file.write(chunk)
            at += len(chunk)
            meter.add(len(chunk))
            if stop.is_set():
                raise Stopped
    judge(wanted.name, at, plan.total or wanted.size, plan.ends_itself or bool(wanted.checksums))


def _judge_head(wanted: Wanted, chunk: bytes, content_type: str) -> None:
    try:
        sniff.check_head(wanted.name, chunk[: sniff.HEAD], content_type, wanted.url)
    except InputError:
        forget(wanted)
        raise


def _check_size(wanted: Wanted, plan: Plan) -> None:
    """Refuse a file whose announced size is not the published one."""
    if plan.total is not None and wanted.size is not None and plan.total != wanted.size:
        forget(wanted)
        raise InputError(
            f"expected {wanted.size} bytes of {wanted.name}, the server announces {plan.total}: "
            "the file was changed by its owner, or this is another one"
        )


def _check_room(wanted: Wanted, plan: Plan) -> None:
    """Refuse to start what cannot fit."""
    missing = (plan.total or wanted.size or 0) - plan.start
    free = shutil.disk_usage(wanted.path.parent).free
    if missing + RESERVE > free:
        raise InputError(
            f"expected room for {missing / 1e9:.2f} GB of {wanted.name}, found {free / 1e9:.2f} GB free in "
            f"{wanted.path.parent}: free some, or choose another folder with --root"
        )


def _remember(wanted: Wanted, plan: Plan) -> None:
    write_json(
        wanted.note,
        {"url": wanted.url, "etag": plan.etag, "modified": plan.modified, "total": plan.total},
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
