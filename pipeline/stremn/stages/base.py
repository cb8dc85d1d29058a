"""What a notebook works with: its checked parameters, its inputs, and where its results go.

>>> stage = open_stage("pretrain", Parameters, profile, settings)   # the notebook's first call
>>> stage.parameters, stage.inputs("data"), stage.out
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import pandas as pd
import yaml
from matplotlib.figure import Figure

from stremn import fingerprint, paths
from stremn.device import choose
from stremn.display import let_notebooks_draw
from stremn.errors import InputError
from stremn.settings import Settings
from stremn.tracking import Logger

P = TypeVar("P", bound=Settings)
OUT = "STREMN_STAGE_OUT"  # set by the runner for the notebook's process
DOTS = 110  # per inch, of figures
TRAINED_WITH = ("ops", "memory", "models", "tasks", "data", "training")  # rooms whose code shapes the weights


@dataclass
class Stage(Generic[P]):
    """An open stage.

    Attributes:
        name: of the stage.
        profile: block of ``params.yaml``.
        parameters: checked settings.
        out: folder to write to; it becomes the stage's output when the notebook ends well.
        root: of the repository.
    """

    name: str
    profile: str
    parameters: P
    out: Path
    root: Path
    logger: Logger = field(default_factory=Logger)
    _used: set[str] = field(default_factory=lambda: {"data"})

    def inputs(self, stage: str) -> Path:
        """Output folder of an earlier stage; InputError if it has not run."""
        folder = paths.output(self.root, self.profile, stage)
        if not folder.is_dir():
            raise InputError(
                f"stage {self.name!r} needs the outputs of {stage!r} in {folder}; run `dvc repro` first"
            )
        self._used.add(stage)
        return folder

    @property
    def resume_dir(self) -> Path:
        """Where training saves its progress.

        The name is a hash of all that the weights depend on, so that only the same training is continued:
        parameters, data, the networks read with `inputs` before this call, and the code.
        """
        folders = [paths.output(self.root, self.profile, stage) for stage in sorted(self._used)]
        files = [
            path for f in folders for path in (f / "manifest.json", *sorted(f.rglob("model.safetensors")))
        ]
        read = [fingerprint.of_file(path) for path in files]
        block = self.parameters.model_dump(mode="json")
        key = fingerprint.of_values(block, read, fingerprint.of_source(TRAINED_WITH))
        return paths.resume(self.root, f"{self.profile}-{self.name}-{key}")

    def log(self, step: int, row: Mapping[str, float]) -> None:
        """Numbers of one step, to MLflow."""
        self.logger.metrics(row, step)

    def metrics(self, values: Mapping[str, float | None], reasons: Mapping[str, str] | None = None) -> None:
        """Numbers of the whole stage, to ``metrics.json`` and MLflow.

        Args:
            values: by name; a dot makes a table in a table. None or not-a-number where one could not be
                computed: null in the file, a tag ``missing.<name>`` in MLflow.
            reasons: why, for those.
        """
        path = self.out / "metrics.json"
        path.write_text(json.dumps(_nested(values), indent=1), encoding="utf-8")
        self.logger.metrics(values)
        for name in (n for n, v in values.items() if v is None or v != v):
            self.logger.tag(f"missing.{name}", (reasons or {}).get(name, "not computed, see the notebook"))
        self.logger.flush()

    def figure(self, name: str, figure: Figure) -> Path:
        """Save a figure as PNG and log it."""
        path = self.out / "figures" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=DOTS)
        self.logger.artifact(path, "figures")
        return path

    def table(self, name: str, table: pd.DataFrame) -> Path:
        """Save a table as CSV and log it."""
        path = self.out / "tables" / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(path)
        self.logger.artifact(path, "tables")
        return path

    def close(self) -> None:
        """The last call of a notebook: send what MLflow has not seen yet, and forget the saved progress."""
        self.logger.flush()
        if "plan" in type(self.parameters).model_fields:
            shutil.rmtree(self.resume_dir, ignore_errors=True)


def read_block(root: Path, profile: str, stage: str) -> dict[str, Any]:
    """One stage's block of ``params.yaml``."""
    path = root / paths.MARKER
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InputError(f"expected YAML in {path}, found: {' '.join(str(error).split())}") from error
    profiles = [k for k, v in content.items() if isinstance(v, dict)]
    if profile not in profiles:
        raise InputError(f"expected a profile of {', '.join(profiles)} in {path}, found {profile!r}")
    if stage not in content[profile]:
        raise InputError(f"expected a block {profile}.{stage} in {path}, found none")
    return dict(content[profile][stage])


def open_stage(name: str, parameters: type[P], profile: str, settings: Mapping[str, Any]) -> Stage[P]:
    """Open a stage in its notebook.

    Args:
        name: of the stage.
        parameters: its class of settings.
        profile: block of ``params.yaml``.
        settings: the block, put in by the runner; empty where a person runs the notebook by hand: then it
            is read from ``params.yaml`` and results go to ``data/runs/interactive``.
    """
    let_notebooks_draw()
    root = paths.find_root()
    block = dict(settings) or read_block(root, profile, name)
    checked = parameters.parse(block, f"{paths.MARKER}: {profile}.{name}")
    if "device" in parameters.model_fields:
        checked = checked.model_copy(update={"device": choose(checked.model_dump()["device"])})
    by_runner = os.environ.get(OUT)
    out = Path(by_runner) if by_runner else paths.runs(root, "interactive") / profile / name
    out.mkdir(parents=True, exist_ok=True)
    return Stage(name, profile, checked, out, root)


def _nested(values: Mapping[str, float | None]) -> dict[str, Any]:
    """``a.b`` as a table in a table, so that DVC shows columns; not-a-number becomes null."""
    out: dict[str, Any] = {}
    for key, value in values.items():
        *path, last = key.split(".")
        place = out
        for part in path:
            place = place.setdefault(part, {})
        place[last] = None if value is None or value != value else value
    return out
