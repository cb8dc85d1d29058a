"""Running a stage: its notebook, with checked parameters, inside one MLflow run.

The notebook is executed in this process's interpreter by papermill into a scratch folder; outputs move
to their place only when every cell has run. A failed notebook is kept beside the outputs.

A run may be killed at any moment. All that it works with lies in one folder beside the outputs that it holds
while it lives; the next run deletes it, after it has put back the earlier outputs if they were just being replaced.
"""

import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import papermill
from ipykernel.kernelspec import write_kernel_spec
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from stremn import paths, provenance, tracking
from stremn.device import SAME_EVERYWHERE
from stremn.errors import InputError
from stremn.files import claim, discard, load_json, read_json, swap
from stremn.record import say
from stremn.stages.base import CHANGES, OUT, PASSING, checked_parameters

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
RESULT, OLD, KERNEL = (
    "result",
    "old",
    "kernel",
)  # in a run's own folder: its outputs, those before, Jupyter's files
TIME_TO_SAVE = 30  # seconds that a kernel has to end in after an interrupt: a training saves its progress


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
    failed = paths.runs(root, profile) / f"{stage}.failed.ipynb"
    origin = provenance.origin(root, profile, stage, changes, beside)
    with _stopped_by_signals(), _workplace(out) as work, tracking.run(root, profile, stage, checked, origin):
        processor = SAME_EVERYWHERE if checked.get("same_everywhere") else {}
        with tracking.environment({CHANGES: json.dumps(changes), **processor}):
            _execute(notebook, work, profile, root, failed)
        swap(work / RESULT, out, work / OLD)
        failed.unlink(missing_ok=True)
        for folder in read_json(work / PASSING).get("folders", []):  # only now: the outputs stand
            discard(Path(folder))
        tracking.Logger().artifact(out / NOTEBOOK)
        if stage == "data":
            tracking.Logger().tag("data", provenance.data_fingerprint(root, profile))
    return out


def _check_same(out: Path, changes: Mapping[str, Any]) -> None:
    """Results of other files that have the same name are not replaced."""
    settings = out / "settings.json"
    try:
        before = load_json(settings, "settings") if changes and settings.is_file() else changes
    except InputError as error:
        raise InputError(f"{error}: move the folder away") from None
    for name, value in changes.items():
        if before.get(name) != value:
            raise InputError(
                f"expected results of {value} in {out}, found those of {before.get(name)}: move the folder away"
            )


@contextmanager
def _workplace(out: Path) -> Iterator[Path]:
    """A folder beside a stage's outputs for what it works with, after what killed runs left there is cleared."""
    for left in out.parent.glob(f".{out.name}.*.tmp"):
        if (lock := claim(left)) is None:
            say(f"another run of this stage is still working in {left}: waiting until it has ended")
            lock = claim(left, wait=-1)
        if (left / OLD).exists() and not out.exists():
            os.replace(left / OLD, out)
        shutil.rmtree(left)
        if lock is not None:
            lock.release()
    work = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    lock = claim(work)
    (work / RESULT).mkdir()
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if lock is not None:
            lock.release()


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGTERM (Slurm, ``docker stop``) stops a stage as Ctrl-C does; so does the end of the DVC that started it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: a training is being saved
        raise KeyboardInterrupt

    numbers = [
        signal.SIGTERM,
        *([signal.SIGINT] if signal.getsignal(signal.SIGINT) != signal.SIG_IGN else []),
    ]
    before = {number: signal.signal(number, stop) for number in numbers}
    if "DVC_STAGE" in os.environ:
        threading.Thread(target=_stop_with, args=(os.getppid(),), daemon=True).start()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop_with(parent: int) -> None:
    """Without the DVC that started it nobody would take a stage's outputs, and the next DVC would start it again."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def _execute(notebook: Path, work: Path, profile: str, root: Path, failed: Path) -> None:
    logger = tracking.Logger()
    result = work / RESULT
    executed = result / NOTEBOOK
    try:
        with _kernel(work / KERNEL), tracking.environment({OUT: str(result), "PYTHONHASHSEED": "0"}):
            papermill.execute_notebook(
                str(notebook),
                str(executed),
                {"profile": profile},
                kernel_name="python3",
                cwd=str(root),
                progress_bar=False,
                stdout_file=sys.stdout,
                stderr_file=sys.stderr,
                config=Config({"KernelManager": {"shutdown_wait_time": TIME_TO_SAVE}}),
            )
    except PapermillExecutionError as error:
        _keep(executed, failed, logger)
        if error.ename == "InputError":
            raise InputError(error.evalue) from None
        if error.ename == "KeyboardInterrupt":
            raise KeyboardInterrupt from None
        raise
    except DeadKernelError:
        _keep(executed, failed, logger)
        raise InputError(
            "expected the notebook's process to live until its end, it was killed: with too little memory start "
            "again with smaller settings, else just start again; a training goes on from its last checkpoint"
        ) from None
    except BaseException:
        _keep(executed, failed, logger)
        raise


def _keep(executed: Path, failed: Path, logger: tracking.Logger) -> None:
    if executed.is_file():
        failed.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(executed, failed)
        logger.artifact(failed)


@contextmanager
def _kernel(folder: Path) -> Iterator[None]:
    """The kernel ``python3`` is this very interpreter, whatever kernels the user has installed."""
    quiet = ["--IPKernelApp.log_level=50"]  # a cell's error reaches us by itself
    write_kernel_spec(str(folder / "kernels" / "python3"), extra_arguments=quiet)
    path = os.pathsep.join(p for p in (str(folder), os.environ.get("JUPYTER_PATH")) if p)
    with tracking.environment({"JUPYTER_PATH": path, "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}):
        yield
