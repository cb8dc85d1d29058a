"""Running a stage: its notebook, with checked parameters, inside one MLflow run.

The notebook is executed in this process's interpreter by papermill into a scratch folder; outputs move
to their place only when every cell has run. A failed notebook is kept beside the outputs.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import papermill
from ipykernel.kernelspec import write_kernel_spec
from papermill.exceptions import PapermillExecutionError

from stremn import paths, tracking
from stremn.errors import InputError
from stremn.settings import Settings
from stremn.stages.base import OUT, read_block

STAGES = (
    "data",
    "pretrain",
    "finetune",
    "evaluate_vos",
    "train_prediction",
    "evaluate_prediction",
    "memory",
    "cost",
    "report",
)
INJECTED = {"profile", "settings"}
NOTEBOOK = "notebook.ipynb"


def notebook_of(root: Path, stage: str) -> Path:
    """``notebooks/0N_<stage>.ipynb``."""
    if stage not in STAGES:
        raise InputError(f"expected a stage of {', '.join(STAGES)}, found {stage!r}")
    found = sorted((root / "notebooks").glob(f"[0-9][0-9]_{stage}.ipynb"))
    if not found:
        raise InputError(f"expected notebooks/0N_{stage}.ipynb in {root}, found none")
    return found[0]


def check_notebook(notebook: Path) -> None:
    """A stage's notebook takes exactly ``profile`` and ``settings``; papermill itself would only warn."""
    found = set(papermill.inspect_notebook(str(notebook)))
    if found != INJECTED:
        raise InputError(
            f"{notebook.name}: expected a parameters cell with {sorted(INJECTED)}, found {sorted(found)}"
        )


def run_stage(stage: str, profile: str, root: Path | None = None) -> Path:
    """Run one stage and return its output folder.

    Raises:
        InputError: unknown stage, profile or key; bad input found by the notebook.
        PapermillExecutionError: a bug in a cell; the half-executed notebook is kept.
    """
    root = (root or paths.find_root()).resolve()
    notebook = notebook_of(root, stage)
    check_notebook(notebook)
    block = read_block(root, profile, stage)
    parameters: type[Settings] = import_module(f"stremn.stages.{stage}").Parameters
    checked = parameters.parse(block, f"{paths.MARKER}: {profile}.{stage}").model_dump(mode="json")
    out = paths.output(root, profile, stage)
    scratch = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    failed = paths.runs(root, profile) / f"{stage}.failed.ipynb"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        with tracking.run(root, profile, stage, checked):
            _execute(notebook, scratch, {"profile": profile, "settings": block}, root, failed)
        failed.unlink(missing_ok=True)
        shutil.rmtree(out, ignore_errors=True)
        scratch.rename(out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return out


def _execute(notebook: Path, scratch: Path, injected: dict[str, Any], root: Path, failed: Path) -> None:
    logger = tracking.Logger()
    executed = scratch / NOTEBOOK
    try:
        with _kernel(), _environment({OUT: str(scratch), "PYTHONHASHSEED": "0"}):
            papermill.execute_notebook(
                str(notebook),
                str(executed),
                injected,
                kernel_name="python3",
                cwd=str(root),
                progress_bar=False,
                stdout_file=sys.stdout,
                stderr_file=sys.stderr,
            )
    except PapermillExecutionError as error:
        _keep(executed, failed, logger)
        if error.ename == "InputError":
            raise InputError(error.evalue) from None
        raise
    except BaseException:
        _keep(executed, failed, logger)
        raise
    logger.artifact(executed)


def _keep(executed: Path, failed: Path, logger: tracking.Logger) -> None:
    if executed.is_file():
        failed.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(executed, failed)
        logger.artifact(failed)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
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
def _kernel() -> Iterator[None]:
    """The kernel ``python3`` is this very interpreter, whatever kernels the user has installed."""
    with TemporaryDirectory() as folder:
        quiet = ["--IPKernelApp.log_level=50"]  # a cell's error reaches us by itself
        write_kernel_spec(str(Path(folder) / "kernels" / "python3"), extra_arguments=quiet)
        path = os.pathsep.join(p for p in (folder, os.environ.get("JUPYTER_PATH")) if p)
        with _environment({"JUPYTER_PATH": path}):
            yield
