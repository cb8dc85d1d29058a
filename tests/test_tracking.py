"""The log of a stage: what MLflow does not take costs the stage nothing, and is logged later."""

import http.server
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlflow import MlflowClient

from stremn import mlflow_store, tracking
from stremn.errors import InputError
from stremn.files import read_json, write_json
from stremn.record import Logger

RULES = {"learned": 0.7, "oldest": 0.6}
ORIGIN = {
    "tags": {"commit": "abc", "data": "123", "experiment": "four-slots"},
    "experiment": "four-slots",
    "data": {"name": "demo", "digest": "123"},
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a store that holds one finished run."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(tracking, "PATIENCE", 300)  # the machine may be busy
    (tmp_path / "params.yaml").write_text("demo: {}")
    a_stage(tmp_path)
    assert not tracking.records(tmp_path).exists()
    return tmp_path


def a_stage(root: Path, middle: Callable[[], object] = lambda: None) -> None:
    """A stage that logs a parameter, three numbers, a tag and two files; ``middle`` happens half way."""
    picture = root / "picture.png"
    picture.write_text("drawn")
    with tracking.run(root, "demo", "cost", {"slots": 3, "plan": {"steps": 2}}, ORIGIN):
        logger = Logger()
        logger.metrics({"loss": 3.0, "nothing": None, "nan": float("nan")}, 1)
        logger.artifact(picture, "figures")
        middle()
        picture.write_text("drawn again")
        logger.metrics({"loss": 2.0}, 2)
        logger.metrics({"loss": 1.0}, 3)
        logger.tag("missing.x", "why")
        logger.artifact(picture)
        for rule, value in RULES.items():
            child = logger.child(rule, {"rule": rule, "options": {"every": 5}}, f"The {rule}")
            child.series("over frames/J", range(1, 5), [0.1, 0.2, 0.3, 0.4])
            child.metrics({"J&F": value})


def runs(root: Path) -> list:
    client = MlflowClient(tracking.store(root))
    experiment = client.get_experiment_by_name("demo")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"])
    return [run for run in found if "mlflow.parentRunId" not in run.data.tags]


def children(root: Path, of: str) -> list:
    client = MlflowClient(tracking.store(root))
    experiment = client.get_experiment_by_name("demo")
    return client.search_runs([experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{of}'")


def check_whole(root: Path, status: str = "FINISHED") -> None:
    """The newest run has everything that ``a_stage`` logs."""
    client, newest = MlflowClient(tracking.store(root)), runs(root)[0]
    assert newest.info.status == status and newest.info.end_time >= newest.info.start_time
    assert newest.data.params == {"slots": "3", "plan.steps": "2"}
    assert newest.data.tags["missing.x"] == "why" and newest.data.tags["stage"] == "cost"
    history = client.get_metric_history(newest.info.run_id, "loss")
    assert sorted((m.step, m.value) for m in history) == [(1, 3.0), (2, 2.0), (3, 1.0)]
    files = {f.path for folder in ("", "figures") for f in client.list_artifacts(newest.info.run_id, folder)}
    assert {"picture.png", "figures/picture.png"} <= files
    if status == "FINISHED":
        check_children(client, newest, root)


def check_children(client: MlflowClient, parent, root: Path) -> None:
    """Each rule is a run of its own, once, with what makes it comparable."""
    found = {run.data.params["rule"]: run for run in children(root, parent.info.run_id)}
    assert found.keys() == RULES.keys() and len(children(root, parent.info.run_id)) == len(RULES)
    for rule, run in found.items():
        assert run.info.run_name == f"The {rule} · four-slots" and run.info.status == parent.info.status
        assert run.data.metrics["J_and_F"] == RULES[rule] and run.data.params["options.every"] == "5"
        curve = client.get_metric_history(run.info.run_id, "over frames/J")
        assert sorted((m.step, m.value) for m in curve) == [(1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4)]
        assert {key: run.data.tags[key] for key in ORIGIN["tags"]} == ORIGIN["tags"]
        (dataset,) = [entry.dataset for entry in client.get_run(run.info.run_id).inputs.dataset_inputs]
        assert (dataset.name, dataset.digest) == ("demo", "123")


def log_later(root: Path) -> None:
    assert [error for _, error in tracking.send_left(root)] == [None]
    assert not tracking.records(root).exists()
    check_whole(root)


def database(root: Path) -> Path:
    return root / "mlflow.db"


@contextmanager
def deleted(root: Path) -> Iterator[str]:
    client = MlflowClient(tracking.store(root))
    number = client.get_experiment_by_name("demo").experiment_id
    client.delete_experiment(number)
    yield f"mlflow experiments restore -x {number}"
    client.restore_experiment(number)


@contextmanager
def old_schema(root: Path) -> Iterator[str]:
    with sqlite3.connect(database(root)) as connection:
        ((version,),) = connection.execute("SELECT version_num FROM alembic_version")
        connection.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
    tracking_stores_anew()
    yield "mlflow db upgrade sqlite:///"
    with sqlite3.connect(database(root)) as connection:
        connection.execute(f"UPDATE alembic_version SET version_num = '{version}'")


@contextmanager
def locked(root: Path) -> Iterator[str]:
    connection = sqlite3.connect(database(root), isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN EXCLUSIVE")
    yield "database is locked"
    connection.rollback()
    connection.close()


@contextmanager
def read_only(root: Path) -> Iterator[str]:
    with sqlite3.connect(
        database(root)
    ) as connection:  # what a file without the right to write answers, for root too
        for table in ("experiments", "runs", "params", "metrics", "tags"):
            for event in ("INSERT", "UPDATE"):
                connection.execute(
                    f"CREATE TRIGGER no_{event}_{table} BEFORE {event} ON {table} "
                    "BEGIN SELECT RAISE(ABORT, 'attempt to write a readonly database'); END"
                )
    yield "attempt to write a readonly database"
    with sqlite3.connect(database(root)) as connection:
        for table in ("experiments", "runs", "params", "metrics", "tags"):
            for event in ("INSERT", "UPDATE"):
                connection.execute(f"DROP TRIGGER no_{event}_{table}")


@contextmanager
def corrupt(root: Path) -> Iterator[str]:
    whole = database(root).read_bytes()
    database(root).write_bytes(b"no database" * 1000)
    tracking_stores_anew()
    yield "file is not a database"
    database(root).write_bytes(whole)


@contextmanager
def no_room_for_files(root: Path) -> Iterator[str]:
    place, aside = root / "mlartifacts", root / "aside"
    place.rename(aside)
    place.write_text("in the way")
    yield "mlartifacts"
    place.unlink()
    aside.rename(place)


@contextmanager
def elsewhere(uri: str) -> Iterator[None]:
    os.environ["MLFLOW_TRACKING_URI"] = uri
    try:
        yield
    finally:
        del os.environ["MLFLOW_TRACKING_URI"]


@contextmanager
def nobody(root: Path) -> Iterator[str]:
    with elsewhere("http://127.0.0.1:9"):
        yield "refused"


@contextmanager
def silent(root: Path) -> Iterator[str]:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        elsewhere(f"http://127.0.0.1:{server.getsockname()[1]}"),
    ):
        yield "timed out"


@contextmanager
def answering(code: int) -> Iterator[str]:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code)
            self.end_headers()
            self.wfile.write(b"not now")

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with elsewhere(f"http://127.0.0.1:{server.server_port}"):
            yield str(code)
        server.shutdown()


@contextmanager
def failing(root: Path) -> Iterator[str]:
    with answering(500) as words:
        yield words


@contextmanager
def without_password(root: Path) -> Iterator[str]:
    with answering(401) as words:
        yield words


@contextmanager
def unknown_scheme(root: Path) -> Iterator[str]:
    with elsewhere("htp://localhost:5000"):
        yield "htp://localhost:5000"


@contextmanager
def without_driver(root: Path) -> Iterator[str]:
    with elsewhere("postgresql://localhost/runs"):
        yield "psycopg"


def tracking_stores_anew() -> None:
    """What MLflow remembers of stores in this process; a stage is a process of its own."""
    from mlflow.tracking._tracking_service import utils

    utils._tracking_store_registry._get_store_with_resolved_uri.cache_clear()


BREAKAGES = [
    deleted,
    old_schema,
    locked,
    read_only,
    corrupt,
    no_room_for_files,
    nobody,
    silent,
    failing,
    without_password,
    unknown_scheme,
    without_driver,
]


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda b: b.__name__)
def test_what_mlflow_does_not_take_is_told_once_and_logged_later(
    project: Path, breakage: Callable, capfd: pytest.CaptureFixture
) -> None:
    before, began = len(runs(project)), time.monotonic()
    capfd.readouterr()
    with breakage(project) as words:
        tracking_stores_anew()
        a_stage(project)
        took = time.monotonic() - began
        said = capfd.readouterr()
        (line,) = (said.out + said.err).splitlines()
        assert words in line and "the stage goes on" in line and "`stremn log`" in line
        assert took < 60  # minutes, with MLflow's own patience
        (record,) = tracking.records(project).iterdir()
        assert record.relative_to(project).as_posix() in line
        ((what, error),) = tracking.send_left(project)
        assert what == "demo cost" and error is not None
    log_later(project)
    assert len(runs(project)) == before + 1


def test_a_store_that_goes_away_in_the_middle(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(tracking, "PAUSE", 0.2)
    away = read_only(project)

    def middle() -> None:
        (record,) = tracking.records(project).iterdir()
        until = time.monotonic() + 60
        while not read_json(record / tracking.SENT).get("bytes"):
            assert time.monotonic() < until
            time.sleep(0.1)
        away.__enter__()

    capfd.readouterr()
    a_stage(project, middle)
    said = capfd.readouterr()
    assert (said.out + said.err).count("the stage goes on") == 1
    assert runs(project)[0].info.status == "RUNNING"
    away.__exit__(None, None, None)
    log_later(project)
    assert len(runs(project)) == 2  # the run that had begun is the one that was completed


def test_the_next_stage_logs_what_was_left(project: Path) -> None:
    with nobody(project):
        a_stage(project)
    a_stage(project)
    assert not tracking.records(project).exists()
    assert [run.info.status for run in runs(project)] == ["FINISHED"] * 3


def test_a_stage_that_was_killed_is_logged_as_killed(project: Path) -> None:
    code = (
        "import os, sys, time; from pathlib import Path; from stremn import tracking\n"
        "from stremn.record import Logger\n"
        "with tracking.run(Path(sys.argv[1]), 'demo', 'cost', {'slots': 3, 'plan': {'steps': 2}}) as record:\n"
        "    for step, value in ((1, 3.0), (2, 2.0), (3, 1.0)): Logger().metrics({'loss': value}, step)\n"
        "    Logger().tag('missing.x', 'why')\n"
        "    Logger().artifact(Path(sys.argv[1]) / 'picture.png')\n"
        "    Logger().artifact(Path(sys.argv[1]) / 'picture.png', 'figures')\n"
        "    while not (record / 'sent.json').exists(): time.sleep(0.1)\n"
        "    (record / 'events.jsonl').open('a').write('{\"metr')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(project)])
    assert done.returncode == -signal.SIGKILL
    assert runs(project)[0].info.status == "RUNNING"
    assert [error for _, error in tracking.send_left(project)] == [None]
    check_whole(project, "KILLED")
    assert len(runs(project)) == 2


@pytest.mark.parametrize("after", [1, 4])
def test_a_connection_that_is_lost_anywhere_leaves_nothing_twice(
    project: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """The call is answered by the server, and its answer does not arrive."""
    for number, call in enumerate(("create_run", "log_batch", "log_inputs", "set_terminated"), 2):
        whole, calls = getattr(MlflowClient, call), []

        def lost(*given, whole=whole, calls=calls, **named):
            result = whole(*given, **named)
            calls.append(1)
            if len(calls) == after:
                raise ConnectionError("gone")
            return result

        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, call, lost)
            a_stage(project)
        list(tracking.send_left(project))
        assert not tracking.records(project).exists()
        check_whole(project)
        assert len(runs(project)) == number


def test_a_run_that_a_person_deletes_meanwhile_is_made_again(project: Path) -> None:
    client = MlflowClient(tracking.store(project))
    with nobody(project):
        a_stage(project)
    (record,) = tracking.records(project).iterdir()
    note = read_json(record / "run.json")
    write_json(record / "run.json", {key: value for key, value in note.items() if key != "status"})
    mlflow_store.send(project, record)  # as while the stage goes on
    client.delete_run(children(project, runs(project)[0].info.run_id)[0].info.run_id)
    mlflow_store.send(project, record)
    client.delete_run(runs(project)[0].info.run_id)
    write_json(record / "run.json", note)
    log_later(project)


def test_an_experiment_opens_on_its_runs(project: Path) -> None:
    client = MlflowClient(tracking.store(project))
    number = client.get_experiment_by_name("demo").experiment_id
    kind = {"mlflow.experimentKind": "custom_model_development"}
    assert client.get_experiment(number).tags.items() >= kind.items()
    client.delete_experiment_tag(number, "mlflow.experimentKind")  # one of an earlier release
    a_stage(project)
    assert client.get_experiment(number).tags.items() >= kind.items()


def test_a_running_stage_is_left_alone(project: Path) -> None:
    a_stage(
        project, lambda: list(tracking.send_left(project)) == [] or pytest.fail("sent as if it had ended")
    )
    check_whole(project)


def test_a_disk_that_is_full_costs_the_log_only(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stremn.record.shutil.copyfile", full)
    capfd.readouterr()
    a_stage(project)
    said = capfd.readouterr().err
    assert said.count("\n") == 1 and "No space left" in said


def test_the_command_says_what_it_did(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    from stremn.commands.stages import log

    monkeypatch.chdir(project)
    with nobody(project):
        a_stage(project)
        with pytest.raises(InputError, match=r"demo cost \(.*refused\): mend"):
            log()
    capfd.readouterr()
    log()
    assert capfd.readouterr().out == "logged demo cost\n"


def test_mlflow_is_quiet_when_it_makes_its_store(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from stremn import tracking\n"
    code += "with tracking.run(Path(sys.argv[1]), 'demo', 'cost', {}): pass"
    env = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout + done.stderr == ""
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "mlartifacts") == ["data", "mlflow.db"]
