"""What a stage logs, written to a folder, the record of its run; ``tracking`` sends it to MLflow."""

import json
import math
import os
import re
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stremn.errors import short_reason

RECORD = "STREMN_RECORD"  # folder of the record, for the notebook's process
MOST_STEPS = 200  # of a curve
RUN, EVENTS, FILES = "run.json", "events.jsonl", "files"  # what a record consists of


class Logger:
    """Writes into the record that the environment names; without one (a notebook by hand) does nothing.

    Args:
        above: of the run that this one is a child of; None: it is the stage's own.
        name: of the child.
    """

    def __init__(self, above: "Logger | None" = None, name: str = "") -> None:
        self.above, self.name = above, name
        self.curves: set[str] = set()  # names of numbers of many steps
        self.folder = Path(os.environ[RECORD]) if above is None and RECORD in os.environ else None

    def child(self, name: str, parameters: Mapping[str, Any], title: str = "") -> "Logger":
        """A run below this one, of one rule, system or network; what it logs stands beside that of its siblings.

        Args:
            name: its own in this stage.
            title: what people call it; default: the name.
        """
        below = Logger(self, name)
        below._add({"title": title or name, "parameters": flat(parameters), "time": now()})
        return below

    def metrics(self, values: Mapping[str, float | None], step: int = 0) -> None:
        """Numbers of one step; None and not-a-number are left out (there is no null in MLflow)."""
        self.curves |= values.keys() if step else set()
        finite = {plain_name(k): float(v) for k, v in values.items() if v is not None and math.isfinite(v)}
        self._add({"metrics": finite, "step": step, "time": now()})

    def artifact(self, path: Path, folder: str = "") -> None:
        """A copy of a file, as it is now."""
        self._add({"file": path.name, "folder": folder}, path)

    def tag(self, key: str, value: object) -> None:
        """A tag, as text."""
        self._add({"tag": plain_name(key), "value": str(value)})

    def series(self, name: str, steps: Sequence[float], values: Sequence[float]) -> None:
        """A curve: a number at each whole step; a long one is thinned to ``MOST_STEPS``."""
        every = -(-len(steps) // MOST_STEPS) or 1
        for step, value in list(zip(steps, values, strict=True))[::every]:
            self.metrics({name: value}, int(step))

    def _add(self, event: dict[str, Any], file: Path | None = None) -> None:
        if self.above is not None:
            self.above._add({"child": self.name, **event}, file)
            return
        if self.folder is None:
            return
        try:
            if file is not None:
                place = place_of(self.folder, event)
                place.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, place / file.name)
            with (self.folder / EVENTS).open("a", encoding="utf-8") as events:
                events.write(json.dumps(event) + "\n")
        except OSError as error:
            say(
                f"the log of this stage cannot be written ({short_reason(error)}): the stage goes on without it"
            )
            self.folder = None


def place_of(record: Path, event: Mapping[str, Any]) -> Path:
    """Where the copy lies of a file that was logged."""
    return record / FILES / event.get("child", "") / event["folder"]


def say(text: str) -> None:
    """One line for the person at the screen."""
    print(text, file=sys.stderr, flush=True)


def now() -> int:
    """Milliseconds, as MLflow counts."""
    return int(time.time() * 1000)


def plain_name(key: str) -> str:
    """A name that MLflow accepts."""
    return re.sub(r"[^\w\-. :/]", "_", key.replace("&", "_and_"))


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """``plan.steps`` for a table in the table; what lies deeper stays one text."""
    out: dict[str, Any] = {}
    for key, value in values.items():
        inner = value if isinstance(value, Mapping) else {}
        out |= {f"{key}.{name}": part for name, part in inner.items()} or {key: value}
    return out
