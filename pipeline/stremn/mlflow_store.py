"""What a record becomes in MLflow; the only module that imports it.

A stage is a run of the experiment that is called as its profile, and what it compares (rules, systems, networks) are
runs below it. Each is found again by tags that say from which record it comes: whatever was sent before the
connection, the machine or this process went away is gone on with, and nothing is there twice.
"""

import json
import logging
import os
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stremn.errors import InputError
from stremn.files import discard, read_json, replacing, write_json
from stremn.paths import store_root
from stremn.record import EVENTS, RUN, place_of, plain_name

URI = "MLFLOW_TRACKING_URI"
SENT = "sent.json"  # in a record: how much of it MLflow has got, and as which runs
FROM, CHILD = (
    "stremn.record",
    "stremn.child",
)  # tags of a run: the record it comes from; its name below the stage's
KIND = {"mlflow.experimentKind": "custom_model_development"}  # of an experiment: its page opens on the runs
AT_ONCE = {"metrics": 500, "params": 100}  # in a call; MLflow's limits are 1000 and 100
MOST_RUNS = 1000  # of a record
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


def send(root: Path, folder: Path, without_end: str | None = None) -> None:
    """Send what MLflow has not got of a record, and delete it when the run has ended.

    Args:
        without_end: status of a run whose process has ended without a word; None: it goes on.
    """
    note = read_json(folder / RUN)
    if not note:  # killed before there was anything
        discard(folder)
        return
    client = _client(root)
    runs = _Runs(client, _experiment(client, root, note["profile"]), folder, note)
    sent = read_json(folder / SENT)
    whole = sent.get("runs") and set(sent["runs"]) <= set(runs.ids.values())
    taken = sent["bytes"] if whole else 0  # a person deletes runs, too: then all is sent anew
    if not taken:
        runs.begin()
    events = folder / EVENTS
    content = events.read_bytes()[taken:] if events.exists() else b""
    content = content[: content.rfind(b"\n") + 1]  # the last line may be half written
    _log(runs, content)
    write_json(folder / SENT, {"bytes": taken + len(content), "runs": sorted(runs.ids.values())})
    if status := note.get("status", without_end):
        newest = max(path.stat().st_mtime for path in folder.iterdir())
        for run in reversed(runs.ids.values()):  # the stage's own at last
            client.set_terminated(run, status, note.get("ended", int(newest * 1000)))
        discard(folder)


class _Runs:
    """The runs of one record in MLflow: the stage's own, by the name "", and those below it.

    Attributes:
        ids: name → MLflow's number, of those that are there.
    """

    def __init__(self, client: Any, experiment: str, folder: Path, note: Mapping[str, Any]) -> None:
        self.client, self.experiment, self.folder, self.note = client, experiment, folder, note
        found = client.search_runs(
            [experiment],
            f"tags.`{FROM}` = '{folder.name}'",
            max_results=MOST_RUNS,
            order_by=["attributes.start_time ASC"],
        )
        by_name = {run.data.tags.get(CHILD, ""): run.info.run_id for run in found}
        self.ids = dict(sorted(by_name.items()))  # the stage's own first

    def begin(self) -> None:
        """Make the stage's own run where there is none (any more)."""
        self._make("", self.note["stage"], self.note["started"], self.note["parameters"])

    def add(self, name: str, event: Mapping[str, Any]) -> None:
        """Make a run below it, of the event with which it begins."""
        started = event.get("time", self.note["started"])
        self._make(name, event.get("title", name), started, event.get("parameters", {}))

    def _make(self, name: str, title: str, started: int, parameters: Mapping[str, Any]) -> None:
        import mlflow

        origin = self.note.get("origin", {})
        if name not in self.ids:
            tags = {FROM: self.folder.name, "stage": self.note["stage"], "profile": self.note["profile"]}
            tags |= {CHILD: name} if name else {}
            made = self.client.create_run(
                self.experiment,
                started,
                tags | origin.get("tags", {}),
                run_name=" · ".join(part for part in (title, origin.get("experiment")) if part),
            )
            self.ids = (
                {"": made.info.run_id, **self.ids} if not name else {**self.ids, name: made.info.run_id}
            )
        if name:  # also where the stage's own run is a new one
            self.client.set_tag(self.ids[name], "mlflow.parentRunId", self.ids[""])
        entries = [mlflow.entities.Param(plain_name(k), str(v)[:500]) for k, v in parameters.items()]
        in_parts(self.client, self.ids[name], "params", entries)
        if data := origin.get("data"):
            dataset = mlflow.entities.Dataset(**data, source_type="local", source=data["name"])
            self.client.log_inputs(self.ids[name], [mlflow.entities.DatasetInput(dataset, [])])


def _experiment(client: Any, root: Path, profile: str) -> str:
    """Number of the profile's experiment, which is made where there is none."""
    found = client.get_experiment_by_name(profile)
    if found is None:
        local = store(root).startswith("sqlite:")
        artifacts = (store_root(root) / "mlartifacts").as_uri() if local else None
        return str(client.create_experiment(profile, artifacts, KIND))
    if found.lifecycle_stage == "deleted":
        raise InputError(
            f"its experiment {profile!r} was deleted; `{URI}={store(root)} mlflow experiments restore -x "
            f"{found.experiment_id}` brings it back"
        )
    for tag in KIND.items() - found.tags.items():
        client.set_experiment_tag(found.experiment_id, *tag)
    return str(found.experiment_id)


def _log(runs: _Runs, content: bytes) -> None:
    """Send lines of events; sent twice they are the same as sent once."""
    import mlflow

    metrics: dict[str, list[Any]] = {}
    for line in content.splitlines():
        try:
            event = json.loads(line)
        except ValueError:  # half of a line, from a disk that was full
            continue
        name = event.get("child", "")
        if "title" in event or name not in runs.ids:
            runs.add(name, event)
        if "metrics" in event:
            rows = event["metrics"].items()
            metrics.setdefault(name, []).extend(
                mlflow.entities.Metric(k, v, event["time"], event["step"]) for k, v in rows
            )
        elif "tag" in event:
            runs.client.set_tag(runs.ids[name], event["tag"], event["value"])
        elif "file" in event:
            path = place_of(runs.folder, event) / event["file"]
            runs.client.log_artifact(runs.ids[name], str(path), event["folder"] or None)
    for name, entries in metrics.items():
        in_parts(runs.client, runs.ids[name], "metrics", entries)


def in_parts(client: Any, run: str, kind: str, entries: list[Any]) -> None:
    """Log metrics or params, as many at once as MLflow takes."""
    for start in range(0, len(entries), AT_ONCE[kind]):
        client.log_batch(run, **{kind: entries[start : start + AT_ONCE[kind]]})


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
