"""The pipeline's plumbing: settings, the runner, stages' outputs, MLflow."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import nbformat
import pytest
import torch
from mlflow import MlflowClient
from papermill.exceptions import PapermillExecutionError

from stremn import device, fingerprint, paths, tracking
from stremn.errors import InputError
from stremn.files import claim
from stremn.run import run_stage
from stremn.settings import Settings
from stremn.stages import base
from stremn.stages.networks import TRAINED_WITH, TrainingSettings, train_networks

OPEN = "from stremn.stages.base import open_stage\nstage = open_stage('cost', profile)"


class Inner(Settings):
    """Nested settings."""

    steps: int = 1


class Outer(Settings):
    """Settings with settings inside."""

    learning_rate: float = 0.1
    device: str = "cpu"
    plan: Inner = Inner()


# --- settings


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"learning_rat": 1}, ["unknown key 'learning_rat'", "'learning_rate'", "here"]),
        ({"plan": {"step": 1}}, ["unknown key 'plan.step'", "'steps'"]),
        ({"zzz": 1}, ["unknown key 'zzz'"]),
        ({"plan": {"steps": "many"}}, ["plan.steps", "'many'"]),
    ],
)
def test_settings_name_the_key_and_the_nearest_one(block: dict, words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        Outer.parse(block, "here")
    assert all(word in str(error.value) for word in words)
    assert "\n" not in str(error.value)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Outer().learning_rate = 2.0  # type: ignore[misc]


def test_an_exponent_without_a_point_is_read_as_a_number() -> None:
    assert Outer.parse({"learning_rate": "1e-4"}, "here").learning_rate == 1e-4


@pytest.mark.parametrize(
    ("profile", "stage", "text", "words"),
    [
        ("dem", "cost", "demo: {cost: {}}", "expected a profile of demo"),
        ("demo", "cost", "demo: {data: {}}", "demo.cost"),
        ("demo", "cost", "demo: {cost: [", "expected YAML"),
    ],
)
def test_a_missing_block_is_an_input_error(
    tmp_path: Path, profile: str, stage: str, text: str, words: str
) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(InputError, match=words):
        base.read_block(tmp_path, profile, stage)


# --- paths, fingerprints, devices


def test_the_root_is_found_from_below_and_missed_outside(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").touch()
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert paths.find_root(below) == tmp_path
    with pytest.raises(InputError, match=r"params\.yaml"):
        paths.find_root(tmp_path.parent)


def test_a_queued_experiment_logs_to_the_real_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    copy = tmp_path / ".dvc" / "tmp" / "exps" / "standalone" / "tmpx"
    copy.mkdir(parents=True)
    assert paths.store_root(copy) == tmp_path
    assert tracking.store(copy) == f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    assert tracking.store(copy) == "http://elsewhere"


def test_fingerprints_see_values_files_and_source(tmp_path: Path) -> None:
    assert fingerprint.of_values({"a": 1, "b": 2}) == fingerprint.of_values({"b": 2, "a": 1})
    assert fingerprint.of_values({"a": 1}) != fingerprint.of_values({"a": 2})
    file = tmp_path / "f"
    assert fingerprint.of_file(file) == ""
    file.write_text("x")
    before = fingerprint.of_file(file)
    file.write_text("y")
    assert fingerprint.of_file(file) != before
    assert fingerprint.of_bytes(b"y") == fingerprint.of_file(file)
    source = fingerprint.of_source(["ops", "memory"])
    assert source["memory/write.py"] == fingerprint.of_file(
        Path(fingerprint.__file__).parent / "memory" / "write.py"
    )


def test_a_device_that_is_not_here_is_an_input_error() -> None:
    assert device.choose("cpu") == "cpu"
    assert device.choose("auto") in ("cpu", "cuda", "mps")
    with pytest.raises(InputError, match="'gpu'"):
        device.choose("gpu")
    with pytest.raises(InputError, match="cuda:99"):
        device.choose("cuda:99")
    assert device.describe()["versions"]["torch"] == torch.__version__


# --- stages


def _stage(root: Path, parameters: Settings, *, out: str = "out") -> base.Stage:
    (root / out).mkdir(exist_ok=True)
    return base.Stage("finetune", "demo", parameters, root / out, root)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


class Sampler:
    """Batches that the loss below does not look at."""

    seed = 0

    def batch(self, step: int) -> torch.Tensor:
        return torch.zeros(1)


def _train(root: Path, stop: int | None = None, scale: float = 1.0, **settings: object) -> base.Stage:
    """Train a network of one number for up to 8 steps, with a checkpoint after every second one."""
    plan = {"steps": 8, "checkpoint_every": 2} | settings.pop("plan", {})  # type: ignore[operator]
    stage = _stage(root, TrainingSettings.parse({"plan": plan, **settings}, "here"))
    steps = iter(range(100))

    def loss(model: torch.nn.Module, *_: object) -> dict[str, torch.Tensor]:
        if next(steps) == stop:
            raise KeyboardInterrupt
        return {"loss": model.weight.square().sum()}  # type: ignore[operator, union-attr]

    def start(name: str, _: object) -> tuple[torch.nn.Module, dict]:
        model = torch.nn.Linear(1, 1)
        model.weight.data.fill_(scale)
        return model, {"system": "line", "fields": {}}

    train_networks(stage, ["net"], start, Sampler(), loss, lambda model: {})
    return stage


@pytest.fixture
def paused(tmp_path: Path) -> Path:
    """A repository with a training that was stopped after its fourth step."""
    _write(paths.output(tmp_path, "demo", "data") / "manifest.json", '{"seed": 0}')
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path, stop=5)
    return tmp_path


def _saved(root: Path) -> int:
    return len(list((root / "data" / "runs" / ".resume").glob("*/*/progress.pt")))


@pytest.mark.parametrize("settings", [{}, {"workers": 1}, {"plan": {"checkpoint_every": 4}}])
def test_the_same_training_goes_on(paused: Path, settings: dict, capfd: pytest.CaptureFixture) -> None:
    stage = _train(paused, stop=4, **settings)  # of eight steps four are left
    assert "starts anew" not in capfd.readouterr().out
    stage.close()
    assert not list((paused / "data" / "runs" / ".resume").iterdir())


def test_a_training_whose_settings_changed_says_so(paused: Path, capfd: pytest.CaptureFixture) -> None:
    with pytest.raises(KeyboardInterrupt):
        _train(paused, stop=3, seeds={"net": 1}, plan={"learning_rate": 0.5})
    told = [line for line in capfd.readouterr().out.splitlines() if line.startswith("net: ")]
    assert len(told) == 1 and "(seed: 0, now 1, plan.learning_rate: 0.0001, now 0.5) and" in told[0]
    assert _saved(paused) == 2  # what had been reached is there
    _train(paused, seeds={"net": 1}, plan={"learning_rate": 0.5}).close()
    assert _saved(paused) == 0


def test_a_training_whose_data_weights_or_code_changed_says_so(
    paused: Path, capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = paused / "package"
    for room in [*TRAINED_WITH, "stages"]:
        shutil.copytree(Path(fingerprint.__file__).parent / room, package / room)
    monkeypatch.setattr(fingerprint, "__file__", str(package / "fingerprint.py"))
    write = package / "memory" / "write.py"
    write.write_text(write.read_text() + "\n# edited\n")
    _write(paths.output(paused, "demo", "data") / "manifest.json", '{"seed": 1}')
    with pytest.raises(KeyboardInterrupt):
        _train(paused, stop=0, scale=2.0)
    assert "other data (seed) and starting weights and code (memory/write.py);" in capfd.readouterr().out
    assert _saved(paused) == 1


def test_settings_of_a_network_that_is_not_there(paused: Path) -> None:
    for field in ("steps", "seeds"):
        with pytest.raises(
            InputError, match=r"names of networks of this stage \(net\), found 'nets': correct"
        ):
            _train(paused, **{field: {"nets": 1}})


def test_what_could_not_be_computed_is_null(tmp_path: Path) -> None:
    stage = _stage(tmp_path, Outer())
    values = {"a.lpips": None, "a.psnr": 20.0, "b": math.nan}
    stage.metrics(values, {"a.lpips": "no weights"}, {"weights": "none"})
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert found == {"a": {"lpips": None, "psnr": 20.0}, "b": None, "weights": "none"}


def test_a_missing_input_names_the_stage_to_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="pretrain"):
        _stage(tmp_path, Outer()).inputs("pretrain")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"seed": ', "expected what the stage 'data' wrote in .*manifest.json, found: "),
        ("[1]", "expected a table in .*manifest.json, found none"),
        ('{"other": 1}', "expected seed in .*manifest.json, found none"),
        (None, "expected what the stage 'data' wrote in .*manifest.json, found: No such file"),
    ],
)
def test_a_damaged_output_of_an_earlier_stage_is_one_line(
    tmp_path: Path, text: str | None, words: str
) -> None:
    folder = paths.output(tmp_path, "demo", "data")
    folder.mkdir(parents=True)
    if text is not None:
        _write(folder / "manifest.json", text)
    with pytest.raises(InputError, match=f"{words}.*; `stremn run data --profile demo` makes it anew"):
        _stage(tmp_path, Outer()).written("data", "manifest.json", "seed")


def test_a_training_on_damaged_data_is_one_line(paused: Path) -> None:
    _write(paths.output(paused, "demo", "data") / "manifest.json", "{")
    with pytest.raises(InputError, match=r"manifest\.json, found: .*makes it anew"):
        _train(paused)


def test_damaged_settings_of_results_beside_are_one_line(project: Path, write_notebook) -> None:
    write_notebook(project / "notebooks" / "08_cost.ipynb", OPEN)
    _write(_out(project).with_name("cost-mine") / "settings.json", "{")
    with pytest.raises(
        InputError, match=r"expected settings in .*settings\.json, found: .*: move the folder away"
    ):
        run_stage("cost", "demo", project, changes={"slots": 4}, beside="mine")
    shutil.rmtree(_out(project).with_name("cost-mine"))


def test_a_notebook_by_hand_reads_params_and_writes_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "params.yaml").write_text("demo: {cost: {slots: 3, device: auto}}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(base.OUT, raising=False)
    stage = base.open_stage("cost", "demo")
    assert stage.parameters.slots == 3
    assert stage.parameters.device == device.choose("auto")
    assert stage.out == tmp_path / "data" / "runs" / "interactive" / "demo" / "cost"


# --- the runner


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory):
    """A repository with one stage's block; its MLflow store is its own."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "params.yaml").write_text(
        "demo:\n  cost: {slots: 3}\nsame:\n  cost: {same_everywhere: true}\nbad:\n  cost: {slot: 3}\n"
    )
    before = os.environ.pop("MLFLOW_TRACKING_URI", None)
    yield folder
    if before is not None:
        os.environ["MLFLOW_TRACKING_URI"] = before


def _last_run(project: Path):
    client = MlflowClient(tracking.store(project))
    experiments = [e.experiment_id for e in client.search_experiments()]
    return client, client.search_runs(experiments, order_by=["attributes.start_time DESC"])[0]


def _out(project: Path) -> Path:
    return paths.output(project, "demo", "cost")


def test_a_stage_that_is_the_same_everywhere(project: Path, write_notebook) -> None:
    write_notebook(
        project / "notebooks" / "08_cost.ipynb",
        "import os\nimport torch\nfrom stremn.stages.base import open_stage\nstage = open_stage('cost', profile)",
        "(stage.out / 'how.txt').write_text(f'{torch.get_num_threads()} {os.environ[\"MKL_CBWR\"]}')\nstage.close()",
    )
    out = run_stage("cost", "same", project)
    assert (out / "how.txt").read_text() == "1 COMPATIBLE"
    assert "MKL_CBWR" not in os.environ


def test_a_stage_that_ends_well(project: Path, write_notebook) -> None:
    write_notebook(
        project / "notebooks" / "08_cost.ipynb",
        OPEN,
        "stage.log(1, {'loss': 2.0})\nstage.log(2, {'loss': 1.0})\nstage.metrics({'x': 3.0, 'y': None})",
        "import sys\n(stage.out / 'which.txt').write_text(sys.executable)\nprint('streamed')\nstage.close()",
    )
    out = run_stage("cost", "demo", project)
    assert out == _out(project)
    assert (out / "which.txt").read_text() == sys.executable
    assert [p.name for p in out.parent.iterdir()] == ["cost"]
    executed = nbformat.read(out / "notebook.ipynb", 4)
    assert any("injected-parameters" in c.metadata.get("tags", []) for c in executed.cells)
    client, run = _last_run(project)
    assert run.info.status == "FINISHED"
    assert run.data.params["slots"] == "3"
    assert run.data.metrics["x"] == 3.0
    assert "missing.y" in run.data.tags
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [(m.step, m.value) for m in history] == [(1, 2.0), (2, 1.0)]
    assert "notebook.ipynb" in [f.path for f in client.list_artifacts(run.info.run_id)]
    assert "MLFLOW_RUN_ID" not in os.environ


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("from stremn.errors import InputError\nraise InputError('expected a, found b')", InputError),
        ("1 / 0", PapermillExecutionError),
    ],
)
def test_a_stage_that_fails_keeps_its_notebook_and_the_earlier_output(
    project: Path, write_notebook, cell: str, expected: type[Exception]
) -> None:
    _write(_out(project) / "earlier.txt", "kept")
    write_notebook(project / "notebooks" / "08_cost.ipynb", OPEN, cell)
    with pytest.raises(expected) as error:
        run_stage("cost", "demo", project)
    if expected is InputError:
        assert str(error.value) == "expected a, found b"
    assert (_out(project) / "earlier.txt").is_file()
    failed = _out(project).parent / "cost.failed.ipynb"
    assert failed.is_file()
    assert sorted(p.name for p in failed.parent.iterdir()) == ["cost", "cost.failed.ipynb"]
    client, run = _last_run(project)
    assert run.info.status == "FAILED"
    assert failed.name in [f.path for f in client.list_artifacts(run.info.run_id)]
    failed.unlink()


@pytest.mark.parametrize(
    "head", ['profile: str = ""\nsettings: dict = {}', "settings: dict = {}", "# nothing"]
)
def test_a_notebook_with_other_parameters_is_refused(project: Path, write_notebook, head: str) -> None:
    write_notebook(project / "notebooks" / "08_cost.ipynb", "1", head=head)
    with pytest.raises(InputError, match="parameters cell"):
        run_stage("cost", "demo", project)


def test_unknown_names_are_refused_before_anything_runs(project: Path, write_notebook) -> None:
    write_notebook(project / "notebooks" / "08_cost.ipynb", "1 / 0")
    with pytest.raises(InputError, match="expected a stage of"):
        run_stage("costs", "demo", project)
    with pytest.raises(InputError, match="did you mean 'slots'"):
        run_stage("cost", "bad", project)
    with pytest.raises(InputError, match="notebooks/0N_memory"):
        run_stage("memory", "demo", project)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_stage_and_its_kernel(
    project: Path, write_notebook, number: signal.Signals
) -> None:
    mark = project / "kernel.pid"
    mark.unlink(missing_ok=True)
    cell = (
        f"import os, pathlib, time\npathlib.Path({str(mark)!r}).write_text(str(os.getpid()))\ntime.sleep(300)"
    )
    write_notebook(project / "notebooks" / "08_cost.ipynb", OPEN, cell)
    code = "import sys, pathlib, stremn.run as r; r.run_stage('cost', 'demo', pathlib.Path(sys.argv[1]))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(project)], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    until = time.monotonic() + 90
    while not (mark.is_file() and mark.read_text()) and time.monotonic() < until:
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.1)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in errors
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)
    assert not list(_out(project).parent.glob(".*"))
    assert _last_run(project)[1].info.status == "KILLED"


def test_progress_goes_only_when_the_outputs_stand(
    project: Path, write_notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = project / "data" / "runs" / ".resume" / "net" / "abc"
    _write(progress / "progress.pt", "trained for hours")
    end = f"from pathlib import Path\nstage.passing.append(Path({str(progress)!r}))\nstage.close()"
    write_notebook(project / "notebooks" / "08_cost.ipynb", OPEN, end)

    def killed(*_: object) -> None:
        assert progress.is_dir()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("stremn.run.swap", killed)
        with pytest.raises(KeyboardInterrupt):
            run_stage("cost", "demo", project)
    assert progress.is_dir() and not list(_out(project).parent.glob(".*"))
    run_stage("cost", "demo", project)
    assert not progress.parent.exists() and _out(project).is_dir()


def test_a_run_clears_what_a_killed_one_left(project: Path, write_notebook) -> None:
    """Killed between the two renames of its end: the earlier outputs are moved away, the new not yet there."""
    shutil.rmtree(_out(project), ignore_errors=True)
    left = _out(project).with_name(".cost.123.tmp")
    _write(left / "old" / "earlier.txt", "kept")
    _write(left / "result" / "notebook.ipynb", "new")
    _write(left / ".lock", "")
    write_notebook(project / "notebooks" / "08_cost.ipynb", OPEN, "1 / 0")
    with pytest.raises(PapermillExecutionError):
        run_stage("cost", "demo", project)
    assert [p.name for p in _out(project).iterdir()] == ["earlier.txt"]
    assert not list(_out(project).parent.glob(".*"))


def test_a_run_waits_for_one_that_is_still_working(
    project: Path, write_notebook, capfd: pytest.CaptureFixture
) -> None:
    write_notebook(project / "notebooks" / "08_cost.ipynb", OPEN, "stage.close()")
    held, ended = threading.Event(), threading.Event()

    def other_run() -> None:
        lock = claim(_out(project).with_name(".cost.123.tmp"))
        assert lock is not None
        held.set()
        time.sleep(2)
        ended.set()
        lock.release()

    threading.Thread(target=other_run).start()
    assert held.wait(10)
    run_stage("cost", "demo", project)
    assert ended.is_set()
    assert capfd.readouterr().err.count("another run of this stage is still working") == 1


def test_a_kernel_that_is_killed_is_one_line(project: Path, write_notebook) -> None:
    cell = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    write_notebook(project / "notebooks" / "08_cost.ipynb", OPEN, cell)
    with pytest.raises(InputError, match="it was killed: with too little memory"):
        run_stage("cost", "demo", project)
    assert _last_run(project)[1].info.status == "FAILED"
