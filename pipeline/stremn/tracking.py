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
BATCH = 500  # metrics per call
PARAMETERS = 100  # per call, MLflow's limit
PAUSE = 10.0  # seconds between calls, at most, while numbers come in


def _mlflow() -> Any:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    import mlflow

    return mlflow


def store(root: Path) -> str:
    """Where runs are kept: ``MLFLOW_TRACKING_URI`` if set, else a SQLite file at the repository's root."""
    return os.environ.get(URI) or f"sqlite:///{store_root(root) / 'mlflow.db'}"


@contextmanager
def run(root: Path, profile: str, stage: str, parameters: Mapping[str, Any]) -> Iterator[str]:
    """One MLflow run around a stage: FINISHED, FAILED or (Ctrl-C) KILLED.

    Its id is in the environment of processes started meanwhile.
    """
    mlflow = _mlflow()
    mlflow.set_tracking_uri(store(root))
    client = mlflow.MlflowClient()
    artifacts = (store_root(root) / "mlartifacts").as_uri() if store(root).startswith("sqlite:") else None
    found = client.get_experiment_by_name(profile)
    experiment = found.experiment_id if found else client.create_experiment(profile, artifacts)
    active = client.create_run(experiment, run_name=stage, tags={"stage": stage, "profile": profile})
    run_id = str(active.info.run_id)
    flat = [mlflow.entities.Param(_name(k), str(v)[:500]) for k, v in _flat(parameters).items()]
    for start in range(0, len(flat), PARAMETERS):
        client.log_batch(run_id, params=flat[start : start + PARAMETERS])
    before = {name: os.environ.get(name) for name in (RUN, URI)}
    os.environ[RUN], os.environ[URI] = run_id, store(root)
    try:
        yield run_id
    except KeyboardInterrupt:
        client.set_terminated(run_id, "KILLED")
        raise
    except BaseException:
        client.set_terminated(run_id, "FAILED")
        raise
    else:
        client.set_terminated(run_id, "FINISHED")
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


class Logger:
    """Writes into the run that the environment names; without one (a notebook by hand) does nothing."""

    def __init__(self) -> None:
        self.run_id = os.environ.get(RUN)
        self._waiting: list[tuple[str, float, int]] = []
        self._sent = time.monotonic()

    def metrics(self, values: Mapping[str, float | None], step: int = 0) -> None:
        """Queue numbers; None and not-a-number are left out (MLflow has no null)."""
        for key, value in values.items():
            if isinstance(value, (int, float)) and math.isfinite(value):
                self._waiting.append((_name(key), float(value), step))
        if len(self._waiting) >= BATCH or time.monotonic() - self._sent > PAUSE:
            self.flush()

    def flush(self) -> None:
        """Send what is queued, in batches."""
        self._sent = time.monotonic()
        if self.run_id is None:
            self._waiting.clear()
            return
        mlflow = _mlflow()
        now = int(time.time() * 1000)
        while self._waiting:
            part, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            entries = [mlflow.entities.Metric(key, value, now, step) for key, value, step in part]
            mlflow.MlflowClient().log_batch(self.run_id, metrics=entries)

    def artifact(self, path: Path, folder: str = "") -> None:
        """Copy a file into the run."""
        if self.run_id is not None:
            _mlflow().MlflowClient().log_artifact(self.run_id, str(path), folder or None)

    def tag(self, key: str, value: object) -> None:
        """A tag, as text."""
        if self.run_id is not None:
            _mlflow().MlflowClient().set_tag(self.run_id, _name(key), str(value))


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
