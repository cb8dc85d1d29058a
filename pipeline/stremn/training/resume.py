"""Progress on disk, so that a stopped training goes on where it was.

``<folder>/<hash of its origin>/`` holds one training's progress. When parameters, data or code have changed, the
hash is another one: the training starts anew, and says why; what was there stays until the new one has come as far.
A process that ends at any moment, killed or not, leaves whole progress: a file is written aside, then renamed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torch import nn

from stremn import fingerprint
from stremn.errors import InputError
from stremn.files import claim, discard, read_json, replacing
from stremn.training.averaging import Best

WEIGHTS, NOTE = "progress.pt", "origin.json"
NAMED = 3  # changes that are named one by one
PATIENCE = 20  # seconds for which a process may still hold progress after it was killed


@dataclass
class History:
    """What happened: one row of numbers per logged step, and where the time went.

    Attributes:
        rows: ``{"step": …, "loss": …, …}`` in order; validation rows have other names.
        recent: numbers of the steps since the last logged one, of which the next row is the mean.
        seconds: time spent in this call and earlier ones of the same run.
        best: the best validation value, None without validation.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    recent: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    best: float | None = None

    @property
    def last_loss(self) -> float:
        """The training loss that was logged last."""
        return next(row["loss"] for row in reversed(self.rows) if "loss" in row)


@dataclass
class Progress:
    """Where one training saves its progress.

    Attributes:
        folder: of all trainings of this network, also under earlier settings.
        origin: all that the weights depend on, as plain data that JSON can hold, in parts of any names
            (parameters, data, starting weights, code).
        workspace: the copy of the repository that it runs in, by any name; trainings of others (DVC's queued
            experiments) are left alone.
        place: the folder of this very training.
    """

    folder: Path
    origin: Mapping[str, Any]
    workspace: str = ""
    place: Path = field(init=False)
    _lock: FileLock | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.place = self.folder / fingerprint.of_values(self.origin)

    def hold(self) -> None:
        """Keep other processes away until ``release``; where the same training runs elsewhere now, take another place."""
        first = self.place
        for number in count(1):
            self.place = first if number == 1 else first.with_name(f"{first.name}-{number}")
            if lock := claim(self.place, PATIENCE if number == 1 else 0):
                break
        self._lock = lock
        for half in self.place.glob(".*.tmp"):  # of a process that was killed while it wrote
            half.unlink()

    def release(self) -> None:
        """Let others go on with this progress."""
        if self._lock is not None:
            self._lock.release()

    def save(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, best: Best, history: History, step: int
    ) -> None:
        """Write everything that the next steps depend on; a stop while writing leaves the earlier file.

        Progress of earlier settings that is not further than ``step`` is deleted.
        """
        state = {
            "step": step,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "best": best.kept,
            "rows": history.rows,
            "recent": history.recent,
            "seconds": history.seconds,
        }
        # The note goes first: weights without one would be found by nobody, and never be deleted.
        self.place.mkdir(parents=True, exist_ok=True)
        with replacing(self.place / NOTE) as scratch:
            note = {"step": step, "origin": self.origin, "workspace": self.workspace}
            scratch.write_text(json.dumps(note), encoding="utf-8")
        with replacing(self.place / WEIGHTS) as scratch:
            torch.save(state, scratch)
        for place, other in self._others().items():
            if other["step"] <= step and (lock := claim(place)):
                discard(place)
                lock.release()

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
            history.recent = found["recent"]
            return int(found["step"])
        except Exception as error:
            raise InputError(
                f"expected training progress in {path}, found an unreadable file ({error}); delete it"
            ) from error

    def why_anew(self) -> str | None:
        """One line on what differs from the furthest paused training that cannot go on; None: nothing to say."""
        found = [note for place, note in self._others().items() if (place / WEIGHTS).exists()]
        others = sorted((n for n in found if n["origin"] != self.origin), key=lambda note: int(note["step"]))
        if not others or (self.place / WEIGHTS).exists():
            return None
        paused = others[-1]
        return (
            f"the training paused at step {paused['step']} cannot go on and starts anew, for other "
            f"{_changes(paused['origin'], self.origin)}; what it had reached is kept until that step"
        )

    def forget(self) -> None:
        """Delete this training's progress: it has ended, and its weights stand elsewhere."""
        discard(self.place)

    def _others(self) -> dict[Path, dict[str, Any]]:
        """Progress of this workspace under other settings, data or code: folder and note."""
        notes = {path.parent: read_json(path) for path in sorted(self.folder.glob(f"*/{NOTE}"))}
        whole = {place: note for place, note in notes.items() if {"step", "origin"} <= note.keys()}
        return {
            place: note
            for place, note in whole.items()
            if place != self.place and note.get("workspace", "") == self.workspace
        }


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
