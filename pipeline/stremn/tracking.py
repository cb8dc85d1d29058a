"""Logging to MLflow; the only module that imports it.

One run per stage. The notebook runs in a process of its own and finds its run by ``MLFLOW_RUN_ID``.
"""

import math
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stremn.paths import store_root

RUN, URI = "MLFLOW_RUN_ID", "MLFLOW_TRACKING_URI"
AT_ONCE = {"metrics": 500, "params": 100}  # in a call; MLflow's limits are 1000 and 100
PAUSE = "10"  # seconds for which MLflow collects numbers before it writes them


def _mlflow() -> Any:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_ASYNC_LOGGING_BUFFERING_SECONDS", PAUSE)
    import mlflow

    return mlflow


def store(root: Path) -> str:
    """Where runs are kept: ``MLFLOW_TRACKING_URI`` if set, else a SQLite file at the repository's root."""
    return os.environ.get(URI) or f"sqlite:///{store_root(root) / 'mlflow.db'}"


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
def run(root: Path, profile: str, stage: str, parameters: Mapping[str, Any]) -> Iterator[str]:
    """One MLflow run around a stage: FINISHED, FAILED or (Ctrl-C) KILLED.

    Its id is in the environment of processes started meanwhile.
    """
    mlflow, uri = _mlflow(), store(root)
    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient()
    artifacts = (store_root(root) / "mlartifacts").as_uri() if uri.startswith("sqlite:") else None
    found = client.get_experiment_by_name(profile)
    experiment = found.experiment_id if found else client.create_experiment(profile, artifacts)
    active = client.create_run(experiment, run_name=stage, tags={"stage": stage, "profile": profile})
    run_id, status = str(active.info.run_id), "FAILED"
    try:
        flat = _flat(parameters).items()
        _log(run_id, "params", [mlflow.entities.Param(_name(k), str(v)[:500]) for k, v in flat])
        with environment({RUN: run_id, URI: uri}):
            yield run_id
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        client.set_terminated(run_id, status)


class Logger:
    """Writes into the run that the environment names; without one (a notebook by hand) does nothing."""

    def __init__(self) -> None:
        self.run_id = os.environ.get(RUN)

    def metrics(self, values: Mapping[str, float | None], step: int = 0) -> None:
        """Numbers of one step, written in the background; None and not-a-number are left out (no null there)."""
        if self.run_id is not None:
            entry, now = _mlflow().entities.Metric, int(time.time() * 1000)
            finite = {k: v for k, v in values.items() if v is not None and math.isfinite(v)}
            entries = [entry(_name(k), float(v), now, step) for k, v in finite.items()]
            _log(self.run_id, "metrics", entries, synchronous=False)

    def flush(self) -> None:
        """Wait until all numbers are written."""
        if self.run_id is not None:
            _mlflow().flush_async_logging()

    def artifact(self, path: Path, folder: str = "") -> None:
        """Copy a file into the run."""
        if self.run_id is not None:
            _mlflow().MlflowClient().log_artifact(self.run_id, str(path), folder or None)

    def tag(self, key: str, value: object) -> None:
        """A tag, as text."""
        if self.run_id is not None:
            _mlflow().MlflowClient().set_tag(self.run_id, _name(key), str(value))


def _log(run_id: str, kind: str, entries: list[Any], *, synchronous: bool = True) -> None:
    for start in range(0, len(entries), AT_ONCE[kind]):
        part = {kind: entries[start : start + AT_ONCE[kind]]}
        _mlflow().MlflowClient().log_batch(run_id, **part, synchronous=synchronous)


def _name(key: str) -> str:
    """A name that MLflow accepts."""
    return re.sub(r"[^\w\-. :/]", "_", key.replace("&", "and"))


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """``plan.steps`` for a table in the table; what lies deeper stays one text."""
    out: dict[str, Any] = {}
    for key, value in values.items():
        inner = value if isinstance(value, Mapping) else {}
        out |= {f"{key}.{name}": part for name, part in inner.items()} or {key: value}
    return out
