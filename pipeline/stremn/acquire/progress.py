"""One progress line for all files: bytes, rate, time left. And how work is stopped."""

import threading
from typing import Any

from tqdm import tqdm


class Stopped(Exception):
    """The person pressed Ctrl-C; partial files stay."""


class Meter:
    """Counts bytes of several files from several threads and shows them as one line.

    Args:
        what: what the line says first.
        show: False counts in silence (``bytes`` still tells).
    """

    def __init__(self, what: str = "", show: bool = True) -> None:
        self._lock = threading.Lock()
        self._totals: dict[str, int] = {}
        self.bytes = 0  # fetched in this run
        self._bar: Any = None
        if show:
            self._bar = tqdm(
                desc=what, unit="B", unit_scale=True, unit_divisor=1024, mininterval=0.5, total=0
            )

    def expect(self, name: str, total: int, have: int) -> None:
        """A file's whole size is known, ``have`` bytes of it are there already."""
        with self._lock:
            first = name not in self._totals
            self._totals[name] = total
            if self._bar is not None:
                if first:
                    self._bar.initial += have
                    self._bar.n += have
                self._bar.total = sum(self._totals.values())
                self._bar.refresh()

    def add(self, count: int) -> None:
        """So many bytes have come."""
        with self._lock:
            self.bytes += count
            if self._bar is not None:
                self._bar.update(count)

    def back(self, count: int) -> None:
        """So many bytes are thrown away, to be fetched again."""
        with self._lock:
            if self._bar is not None:
                self._bar.n = max(0, self._bar.n - count)
                self._bar.refresh()

    def close(self) -> None:
        """Leave the line as it is."""
        if self._bar is not None:
            self._bar.close()
