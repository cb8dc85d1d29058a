"""One function over many names, in several processes."""

import multiprocessing
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from typing import TypeVar

Result = TypeVar("Result")
Caught = list[tuple[str, type[Warning]]]


def parallel_map(
    work: Callable[[str], Result], names: Sequence[str], workers: int = 1
) -> Iterator[tuple[str, Result]]:
    """(name, work(name)) in the order in which they are done; in this process when ``workers`` is 1.

    The first error ends everything and is raised here, warnings are repeated here; Ctrl-C ends the processes
    without their tracebacks (joblib's do neither).

    Args:
        work: a function that can be pickled.
        names: its arguments.
        workers: processes at most.
    """
    if min(workers, len(names)) < 2:
        yield from ((name, work(name)) for name in names)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(names)), context, _leave_stopping_to_the_parent)
    before = set(multiprocessing.active_children())
    try:
        tasks: dict[Future[tuple[Result, Caught]], str] = {
            pool.submit(_with_warnings, work, name): name for name in names
        }
        for task in as_completed(tasks):
            result, caught = task.result()
            for text, category in caught:
                warnings.warn(text, category, stacklevel=2)
            yield tasks[task], result
    except BaseException:
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_stopping_to_the_parent() -> None:
    """Ctrl-C reaches every process of a terminal; the parent ends its workers itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _with_warnings(work: Callable[[str], Result], name: str) -> tuple[Result, Caught]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = work(name)
    return result, [(str(one.message), one.category) for one in caught]
