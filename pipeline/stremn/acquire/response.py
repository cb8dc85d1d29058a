"""What a server's answer means for a partial file: go on, start again, done, try later, or give up."""

import re
from dataclasses import dataclass
from typing import Any

import requests

from stremn.errors import InputError

LATER = {408, 425, 429, 500, 502, 503, 504}


class Again(Exception):
    """A failure that may pass; ``wait`` is what the server asks for, in seconds."""

    def __init__(self, text: str, wait: float = 0.0) -> None:
        super().__init__(text)
        self.wait = wait


class Restart(Again):
    """The partial file is of no use: throw it away and try again."""


@dataclass(frozen=True)
class Plan:
    """What to do with the body.

    Attributes:
        start: the byte of the file at which it begins; what the partial file has beyond is thrown away.
        total: size of the whole file, if the server says it.
        etag, modified: what recognises this version of the file later.
        content_type: as announced.
        ends_itself: the end of the body can be told from a cut (it has a length, or is chunked).
        done: nothing is missing.
    """

    start: int
    total: int | None
    etag: str = ""
    modified: str = ""
    content_type: str = ""
    ends_itself: bool = True
    done: bool = False


def resume_headers(have: int, note: dict[str, Any]) -> dict[str, str]:
    """Headers that ask for what is missing, and only if the file is still the same."""
    if have == 0:
        return {}
    same = _validator(str(note.get("etag") or ""), str(note.get("modified") or ""))
    return {"Range": f"bytes={have}-"} | ({"If-Range": same} if same else {})


def plan_of(response: requests.Response, have: int, note: dict[str, Any], name: str, url: str) -> Plan:
    """Decide from status and headers.

    Args:
        response: the answer, its body not yet read.
        have: bytes of the partial file.
        note: what is remembered about it.
        name, url: for the errors.

    Raises:
        Again: it may work later.
        InputError: it will not.
    """
    status = response.status_code
    if status in LATER:
        raise Again(f"the answer {status} ({response.reason})", _wait(response))
    if status == 416:
        return _unsatisfiable(response, have, note)
    if status not in (200, 206):
        raise InputError(
            f"expected {name} at {url}, found the answer {status} ({response.reason}): "
            "the file may have moved, see the dataset's page"
        )
    chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
    length = None if chunked else _number(response.headers.get("Content-Length"))
    start, total = (0, length) if status == 200 else _range(response, have)
    plan = Plan(
        start=start,
        total=total,
        etag=response.headers.get("ETag", ""),
        modified=response.headers.get("Last-Modified", ""),
        content_type=response.headers.get("Content-Type", ""),
        ends_itself=chunked or length is not None,
    )
    if status == 206 and not _same(plan, note):
        raise Restart(f"another version of {name} than the one begun")
    return plan


def judge(name: str, have: int, total: int | None, ends_itself: bool) -> None:
    """After the body ended: is the file complete?

    Raises:
        Again: bytes are missing.
        InputError: there are too many, or nobody can tell.
    """
    if total is not None and have < total:
        raise Again(f"{have} of {total} bytes")
    if total is not None and have > total:
        raise InputError(f"expected {total} bytes of {name}, found {have}: the server's sizes do not agree")
    if total is None and not ends_itself:
        raise InputError(
            f"expected a size or a checksum for {name}, found neither: a cut file could not be told from a "
            "whole one; fetch it by hand from the dataset's page"
        )


def _range(response: requests.Response, have: int) -> tuple[int, int | None]:
    """Start and total of a partial answer; only one that goes on where the partial file ends is used."""
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    if not found or int(found[1]) != have:
        raise Restart("a range that was not asked for")
    return have, _number(found[3])


def _same(plan: Plan, note: dict[str, Any]) -> bool:
    """Whether a partial answer belongs to the version that was begun."""
    for key in ("etag", "total"):
        before, now = note.get(key), getattr(plan, key)
        if before and now and before != now:
            return False
    return True


def _unsatisfiable(response: requests.Response, have: int, note: dict[str, Any]) -> Plan:
    """416: the partial file is complete already; or too long, or of another size than announced before."""
    found = re.fullmatch(r"bytes \*/(\d+)", response.headers.get("Content-Range", "").strip())
    if found and int(found[1]) == have and note.get("total") in (None, have):
        return Plan(have, have, done=True)
    raise Restart("a partial file that does not fit")


def _validator(etag: str, modified: str) -> str:
    """What may stand in If-Range: a strong ETag, else the date."""
    return etag if etag and not etag.startswith("W/") else modified


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.strip().isdigit() else None


def _wait(response: requests.Response) -> float:
    return float(_number(response.headers.get("Retry-After")) or 0)
