"""Runs that are computed while the browser goes on asking: one after the other, in a thread, to be stopped."""

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator

from stremn.errors import InputError
from stremn.explore.runs import Run

Steps = Callable[[], Iterator[int]]
PAUSE = 0.25  # seconds between two messages


class Worker:
    """A queue of runs.

    Args:
        tell: called from the thread with (run, frame, finished, problem or None), at most a few times a second.
    """

    def __init__(self, tell: Callable[[Run, int, bool, str | None], None]) -> None:
        self._tell = tell
        self._waiting: deque[tuple[Run, Steps]] = deque()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = False
        self.current: Run | None = None

    @property
    def busy(self) -> bool:
        """Whether a run is being computed."""
        return self.current is not None or bool(self._waiting)

    def add(self, run: Run, steps: Steps) -> None:
        """Compute a run when those before it are done."""
        with self._lock:
            self._waiting.append((run, steps))
            if self._thread is None:
                self._stop = False
                self._thread = threading.Thread(target=self._work, daemon=True)
                self._thread.start()

    def state(self, run: Run) -> str | None:
        """``running`` or ``waiting``; None: it has ended, or was never added."""
        if run is self.current:
            return "running"
        return "waiting" if any(run is other for other, _ in list(self._waiting)) else None

    def stop(self, run: Run | None = None) -> None:
        """End a run where it is, or forget it where it waits; None: every run."""
        with self._lock:
            kept = [] if run is None else [pair for pair in self._waiting if pair[0] is not run]
            self._waiting = deque(kept)
            self._stop = self._stop or run is None or run is self.current

    def wait(self) -> None:
        """Until nothing is left to do."""
        thread = self._thread
        if thread is not None:
            thread.join()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._thread = self.current = None
                    return
                self.current, steps = self._waiting.popleft()
                self._stop = False
            self._compute(self.current, steps)

    def _compute(self, run: Run, steps: Steps) -> None:
        told, frame = 0.0, run.done - 1
        problem = None
        try:
            for frame in steps():
                if self._stop:
                    break
                if time.monotonic() - told > PAUSE:
                    told = time.monotonic()
                    self._tell(run, frame, False, None)
        except InputError as error:
            problem = str(error)
        except Exception as error:  # told in the browser, and in full in the log; the thread goes on
            problem = f"{type(error).__name__}: {error}"
            traceback.print_exc()
        finally:
            self.current = None
            self._tell(run, frame, True, problem)
