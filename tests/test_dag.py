"""The real graph, end to end, with tiny parameters, in a copy of the repository."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml

from stremn import fingerprint
from stremn.listing import counts
from stremn.run import STAGES

ROOT = Path(__file__).resolve().parents[1]
KEPT = ("dvc.yaml", "params.yaml", "notebooks", "pipeline", "plugins", ".dvcignore")
TRAINING = {"pretrain", "finetune", "train_prediction"}


class Copy:
    """A copy of the repository whose root graph is the profile ``tiny``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in KEPT:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(
                    source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
                )
            else:
                shutil.copy(source, folder / name)
        graph = folder / "dvc.yaml"
        text = graph.read_text(encoding="utf-8")
        graph.write_text(
            text.replace("profile: demo", "profile: tiny")
            .replace("data/runs/demo/", "data/runs/tiny/")
            .replace("${demo.", "${tiny.")
        )
        self("dvc", "init", "--no-scm", "--quiet")
        self("dvc", "config", "core.analytics", "false")

    def __call__(self, *command: str) -> str:
        """Run a program of this environment in the copy, on the copy's package; its output."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
        env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
        env["PYTHONPATH"] = str(self.folder / "pipeline")
        env["OMP_NUM_THREADS"] = "1"
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, f"{' '.join(command)} failed:\n{done.stdout[-4000:]}"
        return done.stdout

    def changed(self) -> set[str]:
        """Stages that ``dvc repro`` would consider."""
        return set(json.loads(self("dvc", "status", "--json")))


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The graph, run once."""
    made = Copy(tmp_path_factory.mktemp("copy"))
    made("dvc", "repro")
    return made


def test_every_stage_left_its_notebook_and_numbers(copy: Copy) -> None:
    runs = copy.folder / "data" / "runs" / "tiny"
    assert {p.name for p in runs.iterdir()} == set(STAGES) - {"data"}
    for stage in STAGES:
        out = copy.folder / "data" / "prepared" / "tiny" if stage == "data" else runs / stage
        executed = json.loads((out / "notebook.ipynb").read_text(encoding="utf-8"))
        code = [c for c in executed["cells"] if c["cell_type"] == "code"]
        assert all(c["execution_count"] for c in code if c["source"])
        json.loads(
            (out / "metrics.json").read_text(encoding="utf-8"), parse_constant=lambda name: pytest.fail(name)
        )
    page = (runs / "report" / "report.html").read_text(encoding="utf-8")
    assert "Table 1" in page and "Table 2" in page and "Table 5" in page
    assert "<img" in page and not any(f"{tag}='http" in page for tag in ("src", "href"))
    assert not any((copy.folder / "data" / "runs" / ".resume").iterdir())


def test_a_second_run_does_nothing(copy: Copy) -> None:
    assert copy.changed() == set()
    assert "Running stage" not in copy("dvc", "repro")


def test_metrics_and_plots_show(copy: Copy) -> None:
    shown = json.loads(copy("dvc", "metrics", "show", "--json"))
    (files,) = [form["data"] for form in shown.values()]
    assert {Path(name).parent.name for name in files} == set(STAGES) - {"data"}
    copy("dvc", "plots", "show", "-o", "plots")
    assert list((copy.folder / "plots").rglob("*.png"))


def test_every_stage_has_its_mlflow_run(copy: Copy) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{copy.folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    runs = [run for run in runs if run not in children]
    assert {run.data.tags["stage"] for run in runs} == set(STAGES) and len(runs) == len(STAGES)
    assert {run.info.status for run in runs} == {"FINISHED"}
    parameters = yaml.safe_load((copy.folder / "params.yaml").read_text())["tiny"]
    trained = next(run for run in runs if run.data.tags["stage"] == "pretrain")
    assert trained.data.params["plan.steps"] == str(parameters["pretrain"]["plan"]["steps"])
    (network,) = [
        run for run in children if run.info.run_name == "stremn" and run.data.tags["stage"] == "pretrain"
    ]
    assert {m.step for m in client.get_metric_history(network.info.run_id, "loss")} >= {1, 2, 3}
    rules = {run.data.params["rule"]: run for run in children if run.data.tags["stage"] == "evaluate_vos"}
    assert rules.keys() >= {*parameters["evaluate_vos"]["rules"], "first_mask"}
    assert all(
        {"J_and_F", "J_and_F_low", "over frames/J"} <= run.data.metrics.keys() for run in rules.values()
    )
    assert len({run.data.tags["data"] for run in rules.values()}) == 1


# --- what an edit reaches, in a graph whose stages only touch their outputs


def touching(graph: dict[str, Any], name: str) -> str:
    """A command that makes what a stage's outputs hold for the stages after it."""
    (out,) = graph["stages"][name]["outs"]
    if name == "code":  # it costs nothing, and is what the tests of notebooks look at
        return str(graph["stages"][name]["cmd"])
    wanted = {f"{out}/metrics.json"}
    for stage in graph["stages"].values():
        inside = (dep for dep in stage["deps"] if dep.startswith(f"{out}/"))
        wanted |= {dep if Path(dep).suffix else f"{dep}/file" for dep in inside}
    return " && ".join(f"mkdir -p {Path(w).parent.as_posix()} && echo {name} > {w}" for w in sorted(wanted))


@pytest.fixture(scope="module")
def touched(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The graph, run once without its work."""
    made = Copy(tmp_path_factory.mktemp("touched"))
    path = made.folder / "dvc.yaml"
    graph = yaml.safe_load(path.read_text(encoding="utf-8").replace("${profile}", "tiny"))
    watched = graph["stages"]["evaluate_vos"]["deps"]
    assert "${tiny.evaluate_vos.plugin}" in watched  # the only other one
    for name, stage in graph["stages"].items():
        stage["cmd"] = touching(graph, name)
    path.write_text(yaml.safe_dump(graph, sort_keys=False), encoding="utf-8")
    made("dvc", "repro", "--quiet")
    assert made.changed() == set()
    return made


LITTER = (
    ".DS_Store",
    "._module.py",
    "Thumbs.db",
    "desktop.ini",
    ".module.py.swp",
    "module.py~",
    "#module.py#",
    ".#module.py",
    "~$notes.docx",
    ".ipynb_checkpoints/module-checkpoint.py",
    "__pycache__/module.cpython-311.pyc",
    "__MACOSX/._module.py",
    "@eaDir/module.py",
    ".nfs000000001",
    ".idea/module.py",
)


def test_what_systems_and_editors_leave_runs_nothing_again(
    touched: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = touched.folder / "pipeline" / "stremn"
    monkeypatch.setattr(fingerprint, "__file__", str(package / "fingerprint.py"))
    rooms = [path for path in package.iterdir() if path.is_dir()]
    data = [p for p in (touched.folder / "data").rglob("*") if p.is_dir() and p.parent.name == "tiny"]
    code = fingerprint.of_source([room.name for room in rooms])
    folders = fingerprint.of_folder(touched.folder / "data")
    for folder in [*rooms, *data]:
        for name in LITTER:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text("left here", encoding="utf-8")
    assert touched.changed() == set()
    assert fingerprint.of_source([room.name for room in rooms]) == code
    assert fingerprint.of_folder(touched.folder / "data") == folders


def run_and_saved(path: Path, code: str = "") -> None:
    """What Jupyter makes of a notebook: outputs, counts, ids and metadata; ``code`` is added to its last cell."""
    book = nbformat.read(path, 4)
    for number, cell in enumerate(book.cells):
        cell.id = f"other-{number}"
        if cell.cell_type == "code":
            cell.execution_count = number
            cell.outputs = [nbformat.v4.new_output("stream", text="printed\n")]
            cell.metadata |= {"execution": {"iopub.execute_input": "2026-01-01"}, "collapsed": False}
    book.metadata |= {"language_info": {"name": "python", "version": "3.12.1"}, "widgets": {}}
    book.cells[-1].source += code
    path.write_text(json.dumps(book, indent=2), encoding="utf-8")


def test_a_notebook_that_was_run_and_saved_runs_nothing_again(touched: Copy) -> None:
    for path in (touched.folder / "notebooks").glob("0*.ipynb"):
        run_and_saved(path)
    ran = set(re.findall(r"Running stage '(\w+)'", touched("dvc", "repro")))
    assert ran == {"code"}
    assert touched.changed() == set()


def test_a_notebook_whose_code_changed_runs_again(touched: Copy) -> None:
    (path,) = (touched.folder / "notebooks").glob("0*_pretrain.ipynb")
    run_and_saved(path, "\n1 + 1")
    ran = set(re.findall(r"Running stage '(\w+)'", touched("dvc", "repro")))
    assert {"code", "pretrain"} <= ran <= {"code", "pretrain", "finetune", "evaluate_vos"}
    assert touched.changed() == set()


def stages_after_an_edit(copy: Copy, room: str) -> set[str]:
    """Stages that would run again after a changed docstring in a room."""
    folder = copy.folder / "pipeline" / "stremn" / room
    file = next(p for p in sorted(folder.glob("*.py")) if counts(p.name) and p.stat().st_size)
    before = file.read_text(encoding="utf-8")
    assert before.startswith('"""')
    file.write_text(f'"""Edited. {before[3:]}', encoding="utf-8")
    changed = copy.changed()
    file.write_text(before, encoding="utf-8")
    return changed


def test_a_rule_of_ones_own_changes_the_evaluation_alone(touched: Copy) -> None:
    own, settings = touched.folder / "plugins" / "my_rule.py", touched.folder / "params.yaml"
    own.write_text("# a rule")
    assert touched.changed() == {"evaluate_vos"}
    own.rename(touched.folder / "my_rule.py")
    before = settings.read_text(encoding="utf-8")
    settings.write_text(before.replace("plugin: plugins", "plugin: my_rule.py"), encoding="utf-8")
    assert touched.changed() == {"evaluate_vos"}
    touched("dvc", "repro", "--quiet", "evaluate_vos")
    assert "evaluate_vos" not in touched.changed()
    (touched.folder / "my_rule.py").write_text("# another")
    assert touched.changed() == {"evaluate_vos"}
    settings.write_text(before, encoding="utf-8")
    touched("dvc", "repro", "--quiet")


@pytest.mark.parametrize("room", ["acquire", "segmenting", "figures", "report", "commands", "explore"])
def test_editing_what_shapes_no_weights_retrains_nothing(touched: Copy, room: str) -> None:
    assert not stages_after_an_edit(touched, room) & TRAINING


@pytest.mark.parametrize("room", ["ops", "memory", "data", "training"])
def test_editing_what_shapes_the_weights_retrains(touched: Copy, room: str) -> None:
    assert stages_after_an_edit(touched, room) >= TRAINING
