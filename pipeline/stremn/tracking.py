"""Logging to MLflow, from where ``mlflow_store`` takes it.

A stage writes what it logs into a folder, the record of its run; a thread of the runner sends that to MLflow every few
seconds. What MLflow does not take stays there, and a later stage or ``stremn log`` sends it: tracking never costs a
stage. A record whose process was killed is sent too, as a run that was KILLED.
"""

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

from stremn.errors import InputError, short_reason
from stremn.files import claim, read_json, write_json
from stremn.mlflow_store import SENT, send, store
from stremn.paths import relative, store_root
from stremn.record import RECORD, RUN, Logger, flat, now, say

__all__ = ["SENT", "Logger", "environment", "reason", "records", "run", "send_left", "store"]

PAUSE, AFTER_FAILURE = 10.0, 60.0  # seconds between two sendings, and after one that failed
PATIENCE = 30.0  # seconds for which a stage that has ended waits for its last sending


def records(root: Path) -> Path:
    """Folder of the records that MLflow has not got, or not wholly."""
    return store_root(root) / "data" / "runs" / ".unlogged"


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables of this process and of those started meanwhile; afterwards as before."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextmanager
def run(
    root: Path,
    profile: str,
    stage: str,
    parameters: Mapping[str, Any],
    origin: Mapping[str, Any] | None = None,
) -> Iterator[Path]:
    """One MLflow run around a stage: FINISHED, FAILED or (Ctrl-C, SIGTERM) KILLED. Gives the folder of its record.

    That is in the environment of processes started meanwhile, for their ``Logger``.

    Args:
        origin: where its numbers come from, see ``provenance.origin``.
    """
    name = re.sub(r"[^\w.-]", "_", f"{profile}-{stage}-{time.time_ns()}")
    folder, ended, status = records(root) / name, Event(), "FAILED"
    lock = claim(folder)
    note = {"profile": profile, "stage": stage, "parameters": flat(parameters), "started": now()}
    note |= {"origin": dict(origin or {})}
    write_json(folder / RUN, note)
    sender = Thread(target=_keep_sending, args=(root, folder, ended), daemon=True)
    sender.start()
    try:
        with environment({RECORD: str(folder)}):
            yield folder
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        write_json(folder / RUN, {**note, "status": status, "ended": now()})
        ended.set()
        sender.join(PATIENCE)
        if sender.is_alive():
            say(_kept("it does not answer", root, folder))
        if lock is not None:
            lock.release()


# --- sending it


def send_left(root: Path) -> Iterator[tuple[str, Exception | None]]:
    """Send every record whose process has ended: what it is of, and what MLflow said if it did not take it."""
    for folder in sorted(records(root).glob("*")):
        if (lock := claim(folder)) is None:  # its stage is still running
            continue
        what = "{profile} {stage}".format(**{"profile": folder.name, "stage": "", **read_json(folder / RUN)})
        try:
            send(root, folder, "KILLED")
            yield what, None
        except Exception as error:  # whatever a library between here and a server raises; it is told
            yield what, error
        finally:
            lock.release()


def reason(error: Exception, root: Path) -> str:
    """Why MLflow took nothing, and what mends it, in a few words."""
    if "out-of-date database schema" in str(error):
        return f"its database is of another release: `mlflow db upgrade {store(root)}` mends an older one"
    if isinstance(error, InputError):
        return str(error)
    wrapped = (
        error.__context__ if str(error).startswith("API request") else None
    )  # which repeats the whole request
    return short_reason(wrapped or error)


def _keep_sending(root: Path, folder: Path, ended: Event) -> None:
    """Send a record while it is written, and once more when it has ended; a failure is told once."""
    pause, told, first = 0.0, False, True
    while True:
        last = ended.wait(pause)
        if last and pause == AFTER_FAILURE:  # it has just failed
            return
        try:
            send(root, folder)
            if first:
                list(send_left(root))
            pause, first = PAUSE, False
        except Exception as error:  # whatever a library between here and a server raises; it is told
            pause = AFTER_FAILURE
            if not told:
                told = True
                say(_kept(reason(error, root), root, folder))
        if last:
            return


def _kept(why: str, root: Path, folder: Path) -> str:
    return (
        f"MLflow does not take the log of this stage ({why}): the stage goes on, its log is kept in "
        f"{relative(folder, store_root(root))}, and `stremn log` sends it later"
    )
