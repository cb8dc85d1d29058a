"""Stage 5: train systems of video prediction, each with the same budget (STReMN Sec. 4.2)."""

from functools import partial
from typing import Any

from matplotlib.figure import Figure
from torch import Tensor

from stremn.data.loader import batches
from stremn.data.sheets import video_sheet
from stremn.data.windows import WindowSampler
from stremn.memory import make_policy
from stremn.models.registry import PREDICTORS, build_model
from stremn.settings import Settings
from stremn.stages.base import Stage
from stremn.stages.networks import Trained, prefixed, save_all
from stremn.tasks.prediction_loss import LossWeights, prediction_loss
from stremn.training.loop import Plan, fit, seed_everything
from stremn.training.prediction import validation_ssim


class Predictor(Settings):
    """One network to train; it has no plan of its own, so that all have the same budget.

    Attributes:
        system: entry of ``models.registry.PREDICTORS``.
        fields: arguments of the system's class.
    """

    system: str
    fields: dict[str, Any] = {}


class Parameters(Settings):
    """Settings of the stage.

    Attributes:
        seed: of weights, batches and noise.
        device: where to train.
        systems: the networks to train, by name, one after the other on the same batches.
        plan: steps, learning rate and so on, of each; the best validation weights are averaged.
        batch: windows per step.
        observed: frames given.
        predicted: frames to predict in training.
        slots: K (5 in the paper), of the systems with slots.
        weights: of the loss terms, ``tasks.prediction_loss.LossWeights``.
        validation: windows of people kept apart from training and test.
        workers: processes that prepare batches; 0: none.
    """

    seed: int = 0
    device: str = "cpu"
    systems: dict[str, Predictor] = {"stremn": Predictor(system="stremn")}
    plan: Plan
    batch: int = 8
    observed: int = 10
    predicted: int = 10
    slots: int = 5
    weights: dict[str, float] = {}
    validation: int = 16
    workers: int = 0


def windows(stage: Stage[Parameters]) -> WindowSampler:
    """Random windows of the training people."""
    p = stage.parameters
    folder = stage.inputs("data") / "walkers" / "train"
    return WindowSampler(folder, batch=p.batch, frames=p.observed + p.predicted, seed=p.seed)


def look(sampler: WindowSampler) -> Figure:
    """The first batch, as the network sees it."""
    batch = sampler.batch(0).numpy()
    return video_sheet([(f"window {i}", clip) for i, clip in enumerate(batch[:4])], "Training windows")


def train(stage: Stage[Parameters], sampler: WindowSampler) -> dict[str, Trained]:
    """New networks, each trained to predict freely, on the same windows for as many steps."""
    p = stage.parameters
    folder = stage.inputs("data") / "walkers" / "val"
    held_out = WindowSampler(folder, batch=p.validation, frames=p.observed + p.predicted, seed=p.seed + 1)
    return {name: _train(stage, sampler, held_out.batch(0), name) for name in p.systems}


def _train(stage: Stage[Parameters], sampler: WindowSampler, held_out: Tensor, name: str) -> Trained:
    p, entry = stage.parameters, stage.parameters.systems[name]
    seed_everything(p.seed)
    model = build_model(entry.system, entry.fields, PREDICTORS)
    policy = make_policy("learned", slots=p.slots)
    history = fit(
        model,
        partial(batches, sampler, workers=p.workers),
        partial(prediction_loss, observed=p.observed, policy=policy, weights=LossWeights(**p.weights)),
        p.plan.model_copy(update={"seed": p.seed}),
        resume_dir=stage.resume_dir / name,
        log=prefixed(stage.log, name),
        validate=partial(
            validation_ssim, windows_BTCHW=held_out, observed=p.observed, policy=policy, device=p.device
        ),
        device=p.device,
        description=f"training {name}",
    )
    trained = {"train_prediction": p.model_dump(mode="json", exclude={"systems"})}
    meta = {"system": entry.system, "task": "prediction", "fields": entry.fields, "trained": trained}
    return Trained(model, meta, history)


def save(stage: Stage[Parameters], trained: dict[str, Trained]) -> dict[str, Figure]:
    """Write the weights and the numbers; returns the learning curves."""
    return save_all(stage, trained, "Training video prediction", "SSIM")
