"""What a notebook works with: its checked parameters, its inputs, and where its results go.

>>> stage = open_stage("pretrain", profile)   # the notebook's first call
>>> stage.parameters, stage.inputs("data"), stage.out
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, TypeVar

import pandas as pd
import yaml
from matplotlib.figure import Figure

from stremn import paths
from stremn.device import choose, is_same_everywhere
from stremn.display import let_notebooks_draw
from stremn.errors import InputError, short_reason
from stremn.files import discard, load_json, write_json
from stremn.record import Logger
from stremn.settings import Settings

P = TypeVar("P", bound=Settings)
OUT = "STREMN_STAGE_OUT"  # set by the runner for the notebook's process
CHANGES = "STREMN_STAGE_CHANGES"  # set with it: JSON of the settings that replace those of params.yaml
MOST_VALUES = 100_000  # of a file of settings
PASSING = "passing.json"  # beside that folder: what the runner may delete when the stage's outputs stand
DOTS = 110  # per inch, of figures


class Portable(Settings):
    """Settings of every stage whose results are numbers."""

    same_everywhere: bool = False
    """One thread a process, and instruction sets capped at AVX2: the same bits on every x86 CPU that has it."""


class Computing(Portable):
    """Settings of every stage that runs networks."""

    device: str = "cpu"
    """Where."""


@dataclass
class Stage(Generic[P]):
    """An open stage.

    Attributes:
        name: of the stage.
        profile: block of ``params.yaml``.
        parameters: checked settings.
        out: folder to write to; it becomes the stage's output when the notebook ends well.
        root: of the repository.
        passing: folders that are of no use when the outputs stand (progress of trainings).
        children: runs of MLflow below the stage's, by name.
    """

    name: str
    profile: str
    parameters: P
    out: Path
    root: Path
    logger: Logger = field(default_factory=Logger)
    passing: list[Path] = field(default_factory=list)
    children: dict[str, Logger] = field(default_factory=dict)

    def inputs(self, stage: str) -> Path:
        """Output folder of an earlier stage; InputError if it has not run."""
        folder = paths.output(self.root, self.profile, stage)
        if not folder.is_dir():
            raise InputError(
                f"stage {self.name!r} needs the outputs of {stage!r} in {folder}; run `dvc repro` first"
            )
        return folder

    def written(self, stage: str, name: str, *keys: str) -> dict[str, Any]:
        """A JSON file that an earlier stage wrote, which has ``keys``; InputError where it is damaged."""
        path, again = self.inputs(stage) / name, f"stremn run {stage} --profile {self.profile}"
        try:
            found = load_json(path, f"what the stage {stage!r} wrote")
        except InputError as error:
            raise InputError(f"{error}; `{again}` makes it anew") from None
        lost = [key for key in keys if key not in found] if isinstance(found, dict) else ["a table"]
        if lost:
            raise InputError(f"expected {lost[0]} in {path}, found none; `{again}` makes it anew")
        return dict(found)

    def log(self, step: int, row: Mapping[str, float]) -> None:
        """Numbers of one step, to MLflow."""
        self.logger.metrics(row, step)

    def child(self, name: str, parameters: Mapping[str, Any], title: str = "") -> Logger:
        """A run of MLflow below the stage's own, of one rule, system or network, to be ranked among its siblings.

        It gets the numbers of ``metrics`` whose names begin with its own and a dot.
        """
        self.children[name] = self.logger.child(name, parameters, title)
        return self.children[name]

    def metrics(
        self,
        values: Mapping[str, float | None],
        reasons: Mapping[str, str] | None = None,
        notes: Mapping[str, str] | None = None,
        headline: str = "",
    ) -> None:
        """Numbers of the whole stage, to ``metrics.json`` and MLflow.

        Args:
            values: by name; a dot makes a table in a table. None or not-a-number where one could not be
                computed: null in the file, a tag ``missing.<name>`` in MLflow.
            reasons: why, for those.
            notes: words beside the numbers, such as where a metric's weights come from.
            headline: the child whose numbers stand for the whole stage in MLflow, too.
        """
        path = self.out / "metrics.json"
        path.write_text(json.dumps(_nested({**values, **(notes or {})}), indent=1), encoding="utf-8")
        for name, note in (notes or {}).items():
            self.logger.tag(name, note)
        for name, value in values.items():
            child = max((c for c in self.children if name.startswith(f"{c}.")), key=len, default="")
            own = name[len(child) + 1 :].replace(".", "/") if child else name
            loggers = [self.children.get(child, self.logger)]
            loggers += [self.logger] if child and child == headline else []
            for logger in loggers:
                logger.metrics({f"final/{own}" if own in logger.curves else own: value})
            if value is None or value != value:
                loggers[0].tag(f"missing.{own}", (reasons or {}).get(name, "not computed, see the notebook"))
        if headline:
            self.logger.tag("headline", headline)

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
        """The last call of a notebook: the progress of its trainings is no longer needed.

        The runner deletes it when the outputs stand in their place, so that nothing is lost before.
        """
        if OUT in os.environ:
            write_json(self.out.with_name(PASSING), {"folders": [str(folder) for folder in self.passing]})
            return
        for folder in self.passing:
            discard(folder)


def load_yaml(path: Path) -> dict[Any, Any]:
    """The tables of a YAML file; InputError where it is none, or where its references grow without end."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        values = _values(content, {}, [])
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"expected YAML in {path}, found: {short_reason(error)}") from None
    if values > MOST_VALUES:
        raise InputError(
            f"expected at most {MOST_VALUES} values in {path}, found references that stand for {values}"
        )
    if not isinstance(content, dict):
        raise InputError(f"expected profiles in {path}, found a {type(content).__name__}")
    return content


def _values(content: Any, known: dict[int, int], inside: list[int]) -> int:
    """How many values there are when every reference is written out; each shared part is counted once."""
    if not isinstance(content, dict | list):
        return 1
    if id(content) in inside:
        raise ValueError("a reference to what holds it")
    if id(content) not in known:
        inside.append(id(content))
        parts = content.values() if isinstance(content, dict) else content
        known[id(content)] = 1 + sum(_values(part, known, inside) for part in parts)
        inside.pop()
    return known[id(content)]


def read_block(root: Path, profile: str, stage: str) -> dict[str, Any]:
    """One stage's block of ``params.yaml``."""
    path = root / paths.MARKER
    content = load_yaml(path)
    profiles = [k for k, v in content.items() if isinstance(v, dict)]
    if profile not in profiles:
        raise InputError(f"expected a profile of {', '.join(profiles)} in {path}, found {profile!r}")
    if stage not in content[profile]:
        raise InputError(f"expected a block {profile}.{stage} in {path}, found none")
    block = content[profile][stage]
    if not isinstance(block, dict):
        raise InputError(
            f"expected keys and values in {profile}.{stage} of {path}, found a {type(block).__name__}"
        )
    return dict(block)


def read_parameters(
    root: Path, profile: str, stage: str, changes: Mapping[str, Any] | None = None
) -> Settings:
    """One stage's block of ``params.yaml``, checked: an instance of ``Parameters`` in ``stages/<stage>.py``.

    Args:
        changes: settings that replace the block's.
    """
    parameters: type[Settings] = import_module(f"stremn.stages.{stage}").Parameters
    where, block = f"{paths.MARKER}: {profile}.{stage}", read_block(root, profile, stage)
    if stage == "evaluate_vos" and "data" in block:  # DVC would not see it change
        raise InputError(f"{where}: expected clips in the block data, found the key 'data' here: move it")
    return parameters.parse({**block, **(changes or {})}, where)


def check_block(blocks: Any, profile: str, stage: str) -> None:
    """InputError where a stage's block of a profile has an unknown key or a wrong value."""
    parameters: type[Settings] = import_module(f"stremn.stages.{stage}").Parameters
    parameters.parse(blocks[stage], f"{paths.MARKER}: {profile}.{stage}")


def checked_parameters(root: Path, profile: str, stage: str, changes: Mapping[str, Any]) -> Settings:
    """As ``read_parameters``, and the files that they name are looked at by the stage's ``check``, if it has one."""
    parameters = read_parameters(root, profile, stage, changes)
    check = getattr(import_module(f"stremn.stages.{stage}"), "check", None)
    if check is not None:
        check(parameters, root, profile)
    return parameters


def open_stage(name: str, profile: str) -> Stage[Any]:
    """Open a stage in its notebook, with its block of ``params.yaml``.

    Results go where the runner says; where a person runs the notebook by hand, to ``data/runs/interactive``.
    """
    let_notebooks_draw()
    root = paths.find_root()
    by_runner = os.environ.get(OUT)
    changes = json.loads(os.environ.get(CHANGES, "{}")) if by_runner else {}
    parameters = read_parameters(root, profile, name, changes)
    if isinstance(parameters, Computing):
        parameters = parameters.model_copy(update={"device": choose(parameters.device)})
    if isinstance(parameters, Portable) and parameters.same_everywhere and not is_same_everywhere():
        print(f"opened by hand: the last digits may differ from those of `stremn run {name}`")
    out = Path(by_runner) if by_runner else paths.runs(root, "interactive") / profile / name
    out.mkdir(parents=True, exist_ok=True)
    return Stage(name, profile, parameters, out, root)


def _nested(values: Mapping[str, float | str | None]) -> dict[str, Any]:
    """``a.b`` as a table in a table, so that DVC shows columns; not-a-number becomes null."""
    out: dict[str, Any] = {}
    for key, value in values.items():
        *path, last = key.split(".")
        place = out
        for part in path:
            place = place.setdefault(part, {})
        place[last] = None if value is None or value != value else value
    return out
