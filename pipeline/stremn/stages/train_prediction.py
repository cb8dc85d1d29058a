"""Stage 5: train systems of video prediction, each with the same budget (STReMN Sec. 4.2)."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from matplotlib.figure import Figure
from torch import Tensor, nn

from stremn.data import prepared
from stremn.data.batches import Sampler
from stremn.data.videos import to_pixels
from stremn.errors import InputError
from stremn.figures.sheets import video_sheet
from stremn.memory import make_policy
from stremn.models.registry import PREDICTORS, build_model
from stremn.settings import Settings
from stremn.stages.base import Stage
from stremn.stages.networks import Trained, TrainingSettings, save_networks, train_networks
from stremn.training.prediction_loss import LossWeights, prediction_loss, validation_ssim


class Predictor(Settings):
    """One network to train."""

    system: str
    """Entry of ``models.registry.PREDICTORS``."""
    fields: dict[str, Any] = {}
    """Arguments of the system's class; ``in_channels`` comes from the data."""


class Parameters(TrainingSettings):
    """Settings of the stage; the plan is that of all networks, so that all have the same budget."""

    systems: dict[str, Predictor] = {"stremn": Predictor(system="stremn")}
    """The networks to train, by name, one after the other on the same batches."""
    batch: int = 8
    """Windows per step."""
    observed: int = 10
    """Frames given."""
    predicted: int = 10
    """Frames to predict in training."""
    slots: int = 5
    """K (5 in the paper), of the systems with slots."""
    weights: LossWeights = LossWeights()
    """Of the loss terms."""
    validation: int = 16
    """Windows of people, or of a part of the video, kept apart from training and test."""


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
    policy = make_policy("learned", slots=p.slots)
    return train_networks(
        stage,
        list(p.systems),
        partial(_start, stage, fields),
        sampler,
        partial(prediction_loss, observed=p.observed, policy=policy, weights=p.weights),
        partial(validation_ssim, windows_BTCHW=held_out, observed=p.observed, policy=policy, device=p.device),
    )


def _fields(name: str, entry: Predictor, channels: int) -> dict[str, Any]:
    """A system's fields with the channels of the data; InputError where other ones are asked for."""
    asked = entry.fields.get("in_channels", channels)
    if asked != channels:
        raise InputError(
            f"expected in_channels {channels} of {name!r} as the videos have, found {asked}: leave the field out"
        )
    return {**entry.fields, "in_channels": channels}


def _start(
    stage: Stage[Parameters], fields: dict[str, dict[str, Any]], name: str, _: Mapping[str, Trained]
) -> tuple[nn.Module, dict[str, Any]]:
    """A new network, and its description."""
    system = stage.parameters.systems[name].system
    model = build_model(system, fields[name], PREDICTORS)
    return model, {"system": system, "task": "prediction", "fields": fields[name]}


def save(stage: Stage[Parameters], trained: dict[str, Trained]) -> dict[str, Figure]:
    """Write the weights and the numbers; returns the learning curves."""
    return save_networks(stage, trained, "Training video prediction", "SSIM")
