"""Stage 5: train systems of video prediction, each with the same budget (STReMN Sec. 4.2)."""

from functools import partial
from typing import Any

from matplotlib.figure import Figure
from torch import Tensor

from stremn.data import prepared
from stremn.data.batches import Sampler, batches
from stremn.data.videos import to_pixels
from stremn.errors import InputError
from stremn.figures.sheets import video_sheet
from stremn.memory import make_policy
from stremn.models.registry import PREDICTORS, build_model
from stremn.settings import Settings
from stremn.stages.base import Stage
from stremn.stages.networks import Trained, prefixed, save_all
from stremn.training.loop import Plan, fit, seed_everything
from stremn.training.prediction import validation_ssim
from stremn.training.prediction_loss import LossWeights, prediction_loss


class Predictor(Settings):
    """One network to train; it has no plan of its own, so that all have the same budget.

    Attributes:
        system: entry of ``models.registry.PREDICTORS``.
        fields: arguments of the system's class; ``in_channels`` comes from the data.
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
        weights: of the loss terms, ``training.prediction_loss.LossWeights``.
        validation: windows of people, or of a part of the video, kept apart from training and test.
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


def windows(stage: Stage[Parameters]) -> Sampler[Tensor]:
    """Random windows of the training videos."""
    p = stage.parameters
    place = stage.inputs("data") / "walkers" / "train"
    return prepared.videos(place).sampler(p.batch, p.observed + p.predicted, p.seed)


def look(sampler: Sampler[Tensor]) -> Figure:
    """The first batch, as the network sees it."""
    shown = [to_pixels(clip) for clip in sampler.batch(0)[:4].numpy()]
    return video_sheet([(f"window {i}", clip) for i, clip in enumerate(shown)], "Training windows")


def train(stage: Stage[Parameters], sampler: Sampler[Tensor]) -> dict[str, Trained]:
    """New networks, each trained to predict freely, on the same windows for as many steps."""
    p = stage.parameters
    place = stage.inputs("data") / "walkers" / "val"
    videos = prepared.videos(place)
    held_out = videos.sampler(p.validation, p.observed + p.predicted, p.seed + 1).batch(0)
    fields = {name: _fields(name, entry, held_out.shape[2]) for name, entry in p.systems.items()}
    return {name: _train(stage, sampler, held_out, name, fields[name]) for name in p.systems}


def _fields(name: str, entry: Predictor, channels: int) -> dict[str, Any]:
    """A system's fields with the channels of the data; InputError where other ones are asked for."""
    asked = entry.fields.get("in_channels", channels)
    if asked != channels:
        raise InputError(
            f"expected in_channels {channels} of {name!r} as the videos have, found {asked}: leave the field out"
        )
    return {**entry.fields, "in_channels": channels}


def _train(
    stage: Stage[Parameters], sampler: Sampler[Tensor], held_out: Tensor, name: str, fields: dict[str, Any]
) -> Trained:
    p, entry = stage.parameters, stage.parameters.systems[name]
    seed_everything(p.seed)
    model = build_model(entry.system, fields, PREDICTORS)
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
    meta = {"system": entry.system, "task": "prediction", "fields": fields, "trained": trained}
    return Trained(model, meta, history)


def save(stage: Stage[Parameters], trained: dict[str, Trained]) -> dict[str, Figure]:
    """Write the weights and the numbers; returns the learning curves."""
    return save_all(stage, trained, "Training video prediction", "SSIM")
