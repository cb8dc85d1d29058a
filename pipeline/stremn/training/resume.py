"""Progress on disk, so that a stopped training goes on where it was."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from stremn.errors import InputError
from stremn.files import replacing
from stremn.training.averaging import Best

if TYPE_CHECKING:
    from stremn.training.loop import History

NAME = "progress.pt"


def save_progress(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    best: Best,
    history: "History",
    step: int,
) -> None:
    """Write everything that the next steps depend on; a stop while writing leaves the earlier file."""
    folder.mkdir(parents=True, exist_ok=True)
    progress = {
        "step": step,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "best": best.kept,
        "rows": history.rows,
        "seconds": history.seconds,
    }
    with replacing(folder / NAME) as scratch:
        torch.save(progress, scratch)


def load_progress(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, best: Best, history: "History"
) -> int:
    """Continue from ``folder`` if it holds progress; returns the number of steps already done."""
    path = folder / NAME
    if not path.exists():
        return 0
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(found["model"])
        optimizer.load_state_dict(found["optimizer"])
    except Exception as error:
        raise InputError(
            f"expected training progress in {path}, found an unreadable file ({error}); delete it"
        ) from error
    best.kept = [(value, step, weights) for value, step, weights in found["best"]]
    history.rows, history.seconds = found["rows"], found["seconds"]
    return int(found["step"])
