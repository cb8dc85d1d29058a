"""Logging to MLflow; the only module that imports it.

A stage writes what it logs into a folder, the record of its run; a thread of the runner sends that to MLflow every few
seconds. What MLflow does not take stays there, and a later stage or ``stremn log`` sends it: tracking never costs a
stage. A record whose process was killed is sent too, as a run that was KILLED.
"""

import json
import logging
import os
import re
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

from stremn.errors import InputError, short_reason
from stremn.files import claim, discard, read_json, replacing, write_json
from stremn.paths import relative, store_root
from stremn.record import EVENTS, FILES, RECORD, RUN, Logger, flat, now, plain_name, say

__all__ = ["Logger", "environment", "reason", "records", "run", "send_left", "store"]

URI = "MLFLOW_TRACKING_URI"
SENT = "sent.json"  # in a record: the run in MLflow, and how much it has got
AT_ONCE = {"metrics": 500, "params": 100}  # in a call; MLflow's limits are 1000 and 100
PAUSE, AFTER_FAILURE = 10.0, 60.0  # seconds between two sendings, and after one that failed
PATIENCE = 30.0  # seconds for which a stage that has ended waits for its last sending
STALE = 600  # seconds after which a database that was not finished was left behind
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",  # seconds; a server that does not answer costs seconds, not minutes
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}


def store(root: Path) -> str:
    """Where runs are kept: ``MLFLOW_TRACKING_URI`` if set, else a SQLite file at the repository's root."""
    return os.environ.get(URI) or f"sqlite:///{_database(root)}"


def _database(root: Path) -> Path:
    return store_root(root) / "mlflow.db"


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
def run(root: Path, profile: str, stage: str, parameters: Mapping[str, Any]) -> Iterator[Path]:
    """One MLflow run around a stage: FINISHED, FAILED or (Ctrl-C, SIGTERM) KILLED. Gives the folder of its record.

    That is in the environment of processes started meanwhile, for their ``Logger``.
    """
    name = re.sub(r"[^\w.-]", "_", f"{profile}-{stage}-{time.time_ns()}")
    folder, ended, status = records(root) / name, Event(), "FAILED"
    lock = claim(folder)
    note = {"profile": profile, "stage": stage, "parameters": flat(parameters), "started": now()}
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
            _send(root, folder, "KILLED")
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
            _send(root, folder)
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


def _send(root: Path, folder: Path, without_end: str | None = None) -> None:
    """Send what MLflow has not got of a record, and delete it when the run has ended.

    Args:
        without_end: status of a run whose process has ended without a word; None: it goes on.
    """
    note = read_json(folder / RUN)
    if not note:  # killed before there was anything
        discard(folder)
        return
    client = _client(root)
    sent = _run_of(client, root, folder, note)
    events = folder / EVENTS
    content = events.read_bytes()[sent["bytes"] :] if events.exists() else b""
    content = content[: content.rfind(b"\n") + 1]  # the last line may be half written
    _log(client, sent["run"], folder, content)
    sent["bytes"] += len(content)
    write_json(folder / SENT, sent)
    if status := note.get("status", without_end):
        newest = max(path.stat().st_mtime for path in folder.iterdir())
        client.set_terminated(sent["run"], status, note.get("ended", int(newest * 1000)))
        discard(folder)


def _client(root: Path) -> Any:
    """MLflow, quiet and quick to give up; its database is made aside first, so that a kill leaves no half of one."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    for name in ("alembic", "urllib3.connectionpool", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="mlflow")
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    path = _database(root)
    for half in path.parent.glob(f".{path.name}.*.tmp"):
        if time.time() - half.stat().st_mtime > STALE:
            half.unlink()
    if not os.environ.get(URI) and not path.exists() and os.name == "posix":
        with replacing(path) as scratch:
            mlflow.MlflowClient(f"sqlite:///{scratch}")
    return mlflow.MlflowClient(store(root))


def _run_of(client: Any, root: Path, folder: Path, note: Mapping[str, Any]) -> dict[str, Any]:
    """The run that a record is sent to, and how many bytes of its events were; made where there is none (any more)."""
    import mlflow

    sent = read_json(folder / SENT)
    if not sent or not _is_there(client, sent["run"]):
        profile = note["profile"]
        local = store(root).startswith("sqlite:")
        artifacts = (store_root(root) / "mlartifacts").as_uri() if local else None
        found = client.get_experiment_by_name(profile)
        if found and found.lifecycle_stage == "deleted":
            raise InputError(
                f"its experiment {profile!r} was deleted; `{URI}={store(root)} mlflow experiments restore -x "
                f"{found.experiment_id}` brings it back"
            )
        experiment = found.experiment_id if found else client.create_experiment(profile, artifacts)
        tags = {"stage": note["stage"], "profile": profile}
        made = client.create_run(experiment, note["started"], tags, run_name=note["stage"])
        sent = {"run": made.info.run_id, "bytes": 0}
        write_json(folder / SENT, sent)
    if not sent["bytes"]:
        entries = [mlflow.entities.Param(plain_name(k), str(v)[:500]) for k, v in note["parameters"].items()]
        _in_parts(client, sent["run"], "params", entries)
    return sent


def _is_there(client: Any, run_id: str) -> bool:
    import mlflow

    try:
        return bool(client.get_run(run_id).info.lifecycle_stage == "active")
    except mlflow.exceptions.MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise


def _log(client: Any, run_id: str, folder: Path, content: bytes) -> None:
    """Send lines of events; sent twice they are the same as sent once."""
    import mlflow

    metrics = []
    for line in content.splitlines():
        try:
            event = json.loads(line)
        except ValueError:  # half of a line, from a disk that was full
            continue
        if "metrics" in event:
            rows = event["metrics"].items()
            metrics += [mlflow.entities.Metric(k, v, event["time"], event["step"]) for k, v in rows]
        elif "tag" in event:
            client.set_tag(run_id, event["tag"], event["value"])
        else:
            path = folder / FILES / event["folder"] / event["file"]
            client.log_artifact(run_id, str(path), event["folder"] or None)
    _in_parts(client, run_id, "metrics", metrics)


def _in_parts(client: Any, run_id: str, kind: str, entries: list[Any]) -> None:
    for start in range(0, len(entries), AT_ONCE[kind]):
        client.log_batch(run_id, **{kind: entries[start : start + AT_ONCE[kind]]})
