"""Several networks in one stage: what the training stages share.

Each network has a name of its own (several may be of one system): its weights are
``<stage>/networks/<name>/model.safetensors``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from matplotlib.figure import Figure
from torch import nn

from stremn import fingerprint, paths
from stremn.data.batches import Sampler, batches, with_seed
from stremn.device import computes
from stremn.errors import InputError
from stremn.figures.curves import loss_figure
from stremn.models.checkpoints import save_model
from stremn.record import Logger
from stremn.stages.base import Computing, Stage
from stremn.training.loop import LossFunction, Plan, fit, seed_everything
from stremn.training.resume import History, Progress

TRAINED_WITH = ("ops", "memory", "models", "tasks", "data", "training")  # rooms whose code shapes the weights
SAME_WEIGHTS: dict[str, Any] = {
    "workers": True,
    "plan": {"checkpoint_every"},
}  # settings that do not shape them
OF_OTHERS = {"systems": True, "steps": True, "seeds": True}  # settings that tell of other networks


class TrainingSettings(Computing):
    """Settings of every training stage."""

    seed: int = 0
    """Of weights, batches and noise."""
    plan: Plan
    """Steps, learning rate and so on, of each network."""
    steps: dict[str, int] = {}
    """Other numbers of steps, by the network's name; 0: not trained."""
    seeds: dict[str, int] = {}
    """Other seeds, by the network's name; networks of one seed see the same batches."""
    workers: int = 0
    """Processes that prepare batches; 0: none."""


@dataclass(frozen=True)
class Trained:
    """A network after a stage, its description for the checkpoint, and how the training went."""

    model: nn.Module
    meta: dict[str, Any]
    history: History


Start = Callable[[str, Mapping[str, Trained]], tuple[nn.Module, dict[str, Any]]]
P = TypeVar("P", bound=TrainingSettings)


def train_networks(
    stage: Stage[P],
    names: Sequence[str],
    start: Start,
    sampler: Sampler[Any],
    loss: LossFunction,
    validate: Callable[[nn.Module], dict[str, float]],
) -> dict[str, Trained]:
    """Train networks one after the other, each with its own seed and number of steps.

    Args:
        names: of the networks.
        start: ``start(name, trained)`` returns a network as its training finds it and its description for the
            checkpoint; ``trained`` are those before it.
        sampler: of the batches; it is given the seed of each network.
        loss: see ``fit``.
        validate: see ``fit``.

    Raises:
        InputError: the settings name a network that is not among them.
    """
    p = stage.parameters
    unknown = sorted((p.steps.keys() | p.seeds.keys()) - set(names))
    if unknown:
        raise InputError(
            f"steps and seeds: expected names of networks of this stage ({', '.join(names)}), "
            f"found {unknown[0]!r}: correct the name"
        )
    trained: dict[str, Trained] = {}
    for name in names:
        seed = p.seeds.get(name, p.seed)
        plan = p.plan.model_copy(update={"steps": p.steps.get(name, p.plan.steps)})
        seed_everything(seed)
        model, meta = start(name, trained)
        settings = p.model_copy(update={"plan": plan, "seed": seed})
        history, child = History(), _child(stage, name, meta, settings)
        if plan.steps:
            progress = _progress(stage, name, model, meta, settings)
            history = fit(
                model,
                partial(batches, with_seed(sampler, seed), workers=p.workers),
                loss,
                plan,
                seed=seed,
                progress=progress,
                log=lambda step, row, child=child: child.metrics(row, step),  # type: ignore[misc]
                validate=validate,
                device=p.device,
                description=f"{stage.name} {name}",
            )
            stage.passing.append(progress.place)
        used = settings.model_dump(mode="json", exclude=OF_OTHERS)
        meta = {**meta, "trained": {**meta.get("trained", {}), stage.name: used}}
        trained[name] = Trained(model.eval(), meta, history)
    return trained


def _progress(
    stage: Stage[P], name: str, model: nn.Module, meta: dict[str, Any], settings: TrainingSettings
) -> Progress:
    """Where a network's progress is saved, with all that its weights depend on."""
    origin = {
        "parameters": settings.model_dump(mode="json", exclude={**OF_OTHERS, **SAME_WEIGHTS})
        | {
            "system": meta["system"],
            "fields": meta["fields"],
            "steps_of_the_schedule": stage.parameters.plan.steps,
        },
        "data": stage.written("data", "manifest.json"),
        "starting weights": _hash(model),
        "code": fingerprint.of_source([*TRAINED_WITH, "stages/networks.py", f"stages/{stage.name}.py"]),
    }
    workspace = paths.relative(stage.root, paths.store_root(stage.root))
    progress = Progress(paths.resume(stage.root, stage.profile, stage.name, name), origin, workspace)
    if why := progress.why_anew():
        print(f"{name}: {why}")
    return progress


def _hash(model: nn.Module) -> str:
    """Of a network's weights, bit for bit."""
    return fingerprint.of_values(
        {name: fingerprint.of_bytes(t.cpu().numpy().tobytes()) for name, t in model.state_dict().items()}
    )


def _child(stage: Stage[P], name: str, meta: dict[str, Any], settings: TrainingSettings) -> Logger:
    """The log of a network, whose curves lie over those of the others."""
    known = {"system": meta["system"], "fields": meta["fields"]}
    return stage.child(name, known | settings.model_dump(mode="json", include={"seed", "plan"}))


def save_networks(
    stage: Stage[P], trained: Mapping[str, Trained], title: str, validation: str
) -> dict[str, Figure]:
    """Write every network, its numbers and its learning curve; returns the curves."""
    key = f"validation_{validation}"
    numbers: dict[str, float | None] = {}
    notes = {"computed": computes()}
    curves = {}
    for name, one in trained.items():
        save_model(paths.network(stage.out, name), one.model, one.meta)
        notes[f"{name}.weights"] = _hash(one.model)
        numbers[f"{name}.parameters"] = sum(w.numel() for w in one.model.parameters())
        if not one.history.rows:  # it was not trained
            continue
        last = [row[key] for row in one.history.rows if key in row][-1:]
        best = one.history.best
        numbers[f"{name}.{key}"] = best if best is not None else (last[0] if last else None)
        numbers[f"{name}.loss"] = one.history.last_loss
        numbers[f"{name}.seconds"] = one.history.seconds
        curves[name] = loss_figure(one.history.rows, title=f"{title}: {name}", validation=validation)
        stage.figure(f"{name}_loss", curves[name])
    stage.metrics(numbers, notes=notes, headline=next(iter(curves), ""))
    return curves
