"""What a stage logs, written to a folder, the record of its run; ``tracking`` sends it to MLflow."""

import json
import math
import os
import re
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stremn.errors import short_reason

RECORD = "STREMN_RECORD"  # folder of the record, for the notebook's process
RUN, EVENTS, FILES = "run.json", "events.jsonl", "files"  # what a record consists of


class Logger:
    """Writes into the record that the environment names; without one (a notebook by hand) does nothing."""

    def __init__(self) -> None:
        self.folder = Path(os.environ[RECORD]) if RECORD in os.environ else None

    def metrics(self, values: Mapping[str, float | None], step: int = 0) -> None:
        """Numbers of one step; None and not-a-number are left out (there is no null in MLflow)."""
        finite = {plain_name(k): float(v) for k, v in values.items() if v is not None and math.isfinite(v)}
        self._add({"metrics": finite, "step": step, "time": now()})

    def artifact(self, path: Path, folder: str = "") -> None:
        """A copy of a file, as it is now."""
        self._add({"file": path.name, "folder": folder}, path)

    def tag(self, key: str, value: object) -> None:
        """A tag, as text."""
        self._add({"tag": plain_name(key), "value": str(value)})

    def _add(self, event: dict[str, Any], file: Path | None = None) -> None:
        if self.folder is None:
            return
        try:
            if file is not None:
                place = self.folder / FILES / event["folder"]
                place.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, place / file.name)
            with (self.folder / EVENTS).open("a", encoding="utf-8") as events:
                events.write(json.dumps(event) + "\n")
        except OSError as error:
            say(
                f"the log of this stage cannot be written ({short_reason(error)}): the stage goes on without it"
            )
            self.folder = None


def say(text: str) -> None:
    """One line for the person at the screen."""
    print(text, file=sys.stderr, flush=True)


def now() -> int:
    """Milliseconds, as MLflow counts."""
    return int(time.time() * 1000)


def plain_name(key: str) -> str:
    """A name that MLflow accepts."""
    return re.sub(r"[^\w\-. :/]", "_", key.replace("&", "and"))


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """``plan.steps`` for a table in the table; what lies deeper stays one text."""
    out: dict[str, Any] = {}
    for key, value in values.items():
        inner = value if isinstance(value, Mapping) else {}
        out |= {f"{key}.{name}": part for name, part in inner.items()} or {key: value}
    return out
