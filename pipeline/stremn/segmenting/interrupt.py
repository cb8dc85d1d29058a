"""Signals that ask to end, as requests: the frame in hand is finished first, so that the run can go on later."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

DEFAULTS: dict[int, Any] = {
    signal.SIGINT: signal.default_int_handler,  # Ctrl-C
    signal.SIGTERM: signal.SIG_DFL,  # `kill`, `docker stop`, Slurm at the end of the time
    **({signal.SIGHUP: signal.SIG_DFL} if hasattr(signal, "SIGHUP") else {}),  # the terminal is closed
}


class Interrupt:
    """A context in which Ctrl-C, SIGTERM and SIGHUP raise, so that everything is cleaned up.

    Once ``patient`` is set, the first signal only sets ``asked``, and the second one raises: KeyboardInterrupt
    (Ctrl-C), or SystemExit with the shell's exit code (128 + the signal's number).

    Outside the main thread, and where another handler is set (a notebook server's, ``nohup``), it does nothing.

    Attributes:
        asked: number of the signal; 0: none.
    """

    def __init__(self, *, patient: bool = False) -> None:
        self.asked, self.patient = 0, patient
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number, default in DEFAULTS.items():
                if signal.getsignal(number) is default:
                    self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.patient and not self.asked:
            self.asked = number
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            raise SystemExit(128 + number)
