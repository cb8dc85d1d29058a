"""Running a stage: its notebook, with checked parameters, inside one MLflow run.

The notebook is executed in this process's interpreter by papermill into a scratch folder; outputs move
to their place only when every cell has run. A failed notebook is kept beside the outputs.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import papermill
from ipykernel.kernelspec import write_kernel_spec
from papermill.exceptions import PapermillExecutionError

from stremn import paths, tracking
from stremn.errors import InputError
from stremn.stages.base import CHANGES, OUT, checked_parameters

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
INJECTED = {"profile"}
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
    """A stage's notebook takes exactly ``profile``; papermill itself would only warn."""
    found = set(papermill.inspect_notebook(str(notebook)))
    if found != INJECTED:
        raise InputError(
            f"{notebook.name}: expected a parameters cell with {sorted(INJECTED)}, found {sorted(found)}"
        )


def run_stage(
    stage: str,
    profile: str,
    root: Path | None = None,
    *,
    changes: Mapping[str, Any] | None = None,
    beside: str = "",
) -> Path:
    """Run one stage and return its output folder.

    Args:
        root: of the repository; None: the one around the working folder.
        changes: settings that replace those of ``params.yaml``.
        beside: of the results of changed settings: they lie beside those of the profile, with this in the name.

    Raises:
        InputError: unknown stage, profile or key; bad input found by the notebook.
        PapermillExecutionError: a bug in a cell; the half-executed notebook is kept.
    """
    root = (root or paths.find_root()).resolve()
    notebook = notebook_of(root, stage)
    check_notebook(notebook)
    changes = dict(changes or {})
    checked = checked_parameters(root, profile, stage, changes).model_dump(mode="json")
    out = paths.output(root, profile, stage)
    out = out.with_name(f"{out.name}-{beside}") if beside else out
    _check_same(out, changes)
    scratch = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    failed = paths.runs(root, profile) / f"{stage}.failed.ipynb"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        with tracking.run(root, profile, stage, checked):
            with tracking.environment({CHANGES: json.dumps(changes)}):
                _execute(notebook, scratch, profile, root, failed)
            shutil.rmtree(out, ignore_errors=True)
            scratch.rename(out)  # before the log, so that what was made is kept when the log fails
            failed.unlink(missing_ok=True)
            tracking.Logger().artifact(out / NOTEBOOK)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return out


def _check_same(out: Path, changes: Mapping[str, Any]) -> None:
    """Results of other files that have the same name are not replaced."""
    settings = out / "settings.json"
    before = json.loads(settings.read_text(encoding="utf-8")) if changes and settings.is_file() else changes
    for name, value in changes.items():
        if before.get(name) != value:
            raise InputError(
                f"expected results of {value} in {out}, found those of {before.get(name)}: move the folder away"
            )


def _execute(notebook: Path, scratch: Path, profile: str, root: Path, failed: Path) -> None:
    logger = tracking.Logger()
    executed = scratch / NOTEBOOK
    try:
        with _kernel(), tracking.environment({OUT: str(scratch), "PYTHONHASHSEED": "0"}):
            papermill.execute_notebook(
                str(notebook),
                str(executed),
                {"profile": profile},
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


def _keep(executed: Path, failed: Path, logger: tracking.Logger) -> None:
    if executed.is_file():
        failed.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(executed, failed)
        logger.artifact(failed)


@contextmanager
def _kernel() -> Iterator[None]:
    """The kernel ``python3`` is this very interpreter, whatever kernels the user has installed."""
    with TemporaryDirectory() as folder:
        quiet = ["--IPKernelApp.log_level=50"]  # a cell's error reaches us by itself
        write_kernel_spec(str(Path(folder) / "kernels" / "python3"), extra_arguments=quiet)
        path = os.pathsep.join(p for p in (folder, os.environ.get("JUPYTER_PATH")) if p)
        with tracking.environment({"JUPYTER_PATH": path}):
            yield
