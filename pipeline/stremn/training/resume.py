"""Progress on disk, so that a stopped training goes on where it was.

``<folder>/<hash of its origin>/`` holds one training's progress. When parameters, data or code have changed, the
hash is another one: the training starts anew, and says why; what was there stays until the new one has come as far.
"""

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stremn import fingerprint
from stremn.errors import InputError
from stremn.files import read_json, replacing
from stremn.training.averaging import Best

WEIGHTS, NOTE = "progress.pt", "origin.json"
NAMED = 3  # changes that are named one by one


@dataclass
class History:
    """What happened: one row of numbers per logged step, and where the time went.

    Attributes:
        rows: ``{"step": …, "loss": …, …}`` in order; validation rows have other names.
        seconds: time spent in this call and earlier ones of the same run.
        best: the best validation value, None without validation.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    best: float | None = None

    @property
    def last_loss(self) -> float:
        """The training loss that was logged last."""
        return next(row["loss"] for row in reversed(self.rows) if "loss" in row)


@dataclass(frozen=True)
class Progress:
    """Where one training saves its progress.

    Attributes:
        folder: of all trainings of this network, also under earlier settings.
        origin: all that the weights depend on, as plain data that JSON can hold, in parts of any names
            (parameters, data, starting weights, code).
    """

    folder: Path
    origin: Mapping[str, Any]

    @property
    def place(self) -> Path:
        """The folder of this very training."""
        return self.folder / fingerprint.of_values(self.origin)

    def save(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, best: Best, history: History, step: int
    ) -> None:
        """Write everything that the next steps depend on; a stop while writing leaves the earlier file.

        Progress of earlier settings that is not further than ``step`` is deleted.
        """
        self.place.mkdir(parents=True, exist_ok=True)
        state = {
            "step": step,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "best": best.kept,
            "rows": history.rows,
            "seconds": history.seconds,
        }
        with replacing(self.place / WEIGHTS) as scratch:
            torch.save(state, scratch)
        with replacing(self.place / NOTE) as scratch:
            scratch.write_text(json.dumps({"step": step, "origin": self.origin}), encoding="utf-8")
        for place, note in self._others().items():
            if note["step"] <= step:
                shutil.rmtree(place, ignore_errors=True)

    def load(self, model: nn.Module, optimizer: torch.optim.Optimizer, best: Best, history: History) -> int:
        """Continue from saved progress if there is some; returns the number of steps already done.

        Raises:
            InputError: the file cannot be read.
        """
        path = self.place / WEIGHTS
        if not path.exists():
            return 0
        try:
            found = torch.load(path, map_location="cpu", weights_only=True)
            model.load_state_dict(found["model"])
            optimizer.load_state_dict(found["optimizer"])
            best.kept = [(value, step, weights) for value, step, weights in found["best"]]
            history.rows, history.seconds = found["rows"], found["seconds"]
            return int(found["step"])
        except Exception as error:
            raise InputError(
                f"expected training progress in {path}, found an unreadable file ({error}); delete it"
            ) from error

    def why_anew(self) -> str | None:
        """One line on what differs from the furthest paused training that cannot go on; None: nothing to say."""
        others = sorted(self._others().values(), key=lambda note: int(note["step"]))
        if not others or (self.place / WEIGHTS).exists():
            return None
        paused = others[-1]
        return (
            f"the training paused at step {paused['step']} cannot go on and starts anew, for other "
            f"{_changes(paused['origin'], self.origin)}; what it had reached is kept until that step"
        )

    def forget(self) -> None:
        """Delete this training's progress: it has ended, and its weights are saved elsewhere."""
        shutil.rmtree(self.place, ignore_errors=True)
        with suppress(OSError):  # progress of other settings, not yet passed, stays
            self.folder.rmdir()

    def _others(self) -> dict[Path, dict[str, Any]]:
        """Progress of the same network under other settings, data or code: folder and note."""
        notes = {path.parent: read_json(path) for path in sorted(self.folder.glob(f"*/{NOTE}"))}
        whole = {place: note for place, note in notes.items() if {"step", "origin"} <= note.keys()}
        return {place: note for place, note in whole.items() if place != self.place}


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """``parameters (plan.steps: 3, now 4) and code (memory/write.py)``."""
    parts = []
    for part in dict.fromkeys([*before, *after]):
        old, new = _flat(before.get(part)), _flat(after.get(part))
        changed = [key for key in dict.fromkeys([*old, *new]) if old.get(key) != new.get(key)]
        told = [_change(part, key, old.get(key), new.get(key)) for key in changed[:NAMED]]
        told += [f"{len(changed) - NAMED} more"] if len(changed) > NAMED else []
        named = ", ".join(one for one in told if one)
        parts += [f"{part} ({named})" if named else part] if changed else []
    return " and ".join(parts)


def _change(part: str, key: str, old: object, new: object) -> str:
    """A changed setting with both values; of a hash only what it belongs to."""
    return f"{key}: {old}, now {new}" if part == "parameters" else key


def _flat(value: Any, key: str = "") -> dict[str, Any]:
    """A table in tables by dotted names."""
    if not isinstance(value, Mapping):
        return {key: value}
    dotted = [_flat(part, f"{key}.{name}" if key else str(name)) for name, part in value.items()]
    return {name: part for table in dotted for name, part in table.items()}
