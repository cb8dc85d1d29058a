"""Several networks in one stage: what pre-training and fine-tuning share.

Each network has a name of its own (several may be of one system): its weights are
``<stage>/networks/<name>/model.safetensors``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from torch import nn

from stremn import paths
from stremn.figures.curves import loss_figure
from stremn.models.checkpoints import save_model
from stremn.settings import Settings
from stremn.stages.base import Stage
from stremn.training.loop import History


class System(Settings):
    """One network to train.

    Attributes:
        system: entry of ``models.registry.SYSTEMS``.
        fields: arguments of the system's class.
        start: weights to start from: ``shipped``, those of the package; a network before this one in the same
            stage, of which the tensors that fit by name and shape are taken; or a checkpoint's path below the
            repository's root. None: new ones.
        steps: of pre-training; None: the plan's; 0: none.
        seed: of its weights, batches and noise; None: the stage's.
    """

    system: str = "stremn"
    fields: dict[str, Any] = {}
    start: str | None = None
    steps: int | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Trained:
    """A network after a stage, its description for the checkpoint, and how the training went."""

    model: nn.Module
    meta: dict[str, Any]
    history: History


def prefixed(
    log: Callable[[int, dict[str, float]], None], name: str
) -> Callable[[int, dict[str, float]], None]:
    """A log of numbers under a network's name."""
    return lambda step, row: log(step, {f"{name}.{key}": value for key, value in row.items()})


def save_all(
    stage: Stage[Any], trained: dict[str, Trained], title: str, validation: str
) -> dict[str, Figure]:
    """Write every network, its numbers and its learning curve; returns the curves."""
    numbers: dict[str, float | None] = {}
    drawn = {}
    for name, one in trained.items():
        save_model(paths.network(stage.out, name), one.model, one.meta)
        numbers[f"{name}.parameters"] = sum(w.numel() for w in one.model.parameters())
        if not one.history.rows:
            continue
        key = f"validation_{validation}"
        last = [row[key] for row in one.history.rows if key in row][-1:]
        best = one.history.best
        numbers[f"{name}.{key}"] = best if best is not None else (last[0] if last else None)
        numbers[f"{name}.loss"] = one.history.last_loss
        numbers[f"{name}.seconds"] = one.history.seconds
        drawn[name] = loss_figure(one.history.rows, title=f"{title}: {name}", validation=validation)
        stage.figure(f"{name}_loss", drawn[name])
    stage.metrics(numbers)
    return drawn
