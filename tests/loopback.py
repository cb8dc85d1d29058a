"""A web server on this machine that misbehaves as told, for the tests of downloads."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Page:
    """What lies at one address, and how it is served.

    Attributes:
        body: the true bytes.
        cuts: bytes after which the answers are cut, one per request; then no more cuts.
        statuses: answers before the first good one.
        retry_after: what those answers ask the client to wait, as sent; empty for nothing.
        ranges: whether Range is obeyed.
        polite: whether If-Range is obeyed.
        etag: as sent; empty for none.
        claim: a wrong whole size that is announced.
        length: whether any size is announced.
        kind: content type.
        slow: set by the test; the server waits for it, at most 5 s, when it has sent ``before`` bytes or more.
    """

    body: bytes
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    retry_after: str = ""
    ranges: bool = True
    polite: bool = True
    etag: str = '"one"'
    claim: int | None = None
    length: bool = True
    kind: str = "application/octet-stream"
    slow: threading.Event | None = None
    before: int = 1 << 16


class Site:
    """The server: ``pages`` by path.

    Of each it counts the bytes ``sent``, and lists the ranges ``asked`` for and the versions (``if_range``).
    After a client that left early, ``asked`` says where the next one began: the first answer may still count.
    """

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.sent: Counter[str] = Counter()
        self.asked: dict[str, list[str]] = {}
        self.if_range: dict[str, list[str]] = {}
        self.url = ""

    def put(self, path: str, body: bytes, **how: Any) -> str:
        """Serve something; returns its address."""
        self.pages[path] = Page(body, **how)
        return f"{self.url}/{path}"


@contextmanager
def serve() -> Iterator[Site]:
    """A site at a free port of this machine."""
    site = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(site))
    server.daemon_threads = True
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            path = self.path.lstrip("/").split("?")[0]
            page = site.pages.get(path)
            site.asked.setdefault(path, []).append(self.headers.get("Range", ""))
            site.if_range.setdefault(path, []).append(self.headers.get("If-Range", ""))
            if page is None or page.statuses:
                self.send_response(page.statuses.pop(0) if page else 404)
                self.send_header("Content-Length", "0")
                if page and page.retry_after:
                    self.send_header("Retry-After", page.retry_after)
                self.end_headers()
                return
            start = self._start(page)
            if start is None:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(page.body)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self._headers(page, start)
            self._body(path, page, start)

        def _start(self, page: Page) -> int | None:
            asked = self.headers.get("Range")
            same = self.headers.get("If-Range") in (None, page.etag) or not page.polite
            if not asked or not page.ranges or not same:
                return 0
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            return start if start < len(page.body) else None

        def _headers(self, page: Page, start: int) -> None:
            size = page.claim if page.claim is not None else len(page.body)
            self.send_response(206 if start else 200)
            self.send_header("Content-Type", page.kind)
            if page.etag:
                self.send_header("ETag", page.etag)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
            if page.length:
                self.send_header("Content-Length", str(size - start))
            else:
                self.send_header("Connection", "close")
            self.end_headers()

        def _body(self, path: str, page: Page, start: int) -> None:
            end = page.cuts.pop(0) if page.cuts else len(page.body)
            slow = page.slow
            for at in range(start, min(end, len(page.body)), 1 << 16):
                chunk = page.body[at : min(at + (1 << 16), end)]
                site.sent[path] += len(chunk)  # first, so that no test reads it too early
                try:
                    self.wfile.write(chunk)
                except OSError:  # the client has seen enough
                    break
                if slow is not None and at + len(chunk) - start >= page.before:
                    self.wfile.flush()
                    slow.wait(5)
                    slow = None
            self.close_connection = True

    return Handler
