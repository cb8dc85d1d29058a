"""Stage 2: pre-train on static images turned into short clips (STReMN Sec. 4.1.1, STM Sec. 3.5)."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from matplotlib.figure import Figure
from torch import nn

from stremn.data import prepared
from stremn.data.batches import ClipBatch
from stremn.data.images import ImageClipSampler
from stremn.errors import InputError
from stremn.figures.sheets import batch_sheet
from stremn.models.checkpoints import load_model, load_shared, load_weights, shipped_checkpoint
from stremn.models.registry import build_model
from stremn.settings import Settings
from stremn.stages.base import Stage
from stremn.stages.networks import Trained, TrainingSettings, save_networks, train_networks
from stremn.training.clip_loss import clip_loss, validation_score


class System(Settings):
    """One network to train."""

    system: str = "stremn"
    """Entry of ``models.registry.SYSTEMS``."""
    fields: dict[str, Any] = {}
    """Arguments of the system's class."""
    start: str | None = None
    """Weights to start from: ``shipped``, those of the package; a network before this one in the same stage, of
    which the tensors that fit by name and shape are taken; or a checkpoint's path below the repository's root.
    None: new ones."""


class Parameters(TrainingSettings):
    """Settings of the stage."""

    systems: dict[str, System] = {"stremn": System()}
    """The networks to train, by name, one after the other."""
    batch: int = 16
    """Clips per step."""
    frames: int = 3
    """Frames per clip (5 in STReMN)."""
    objects: int = 2
    """Most objects per clip."""
    size: int = 64
    """Height and width of the clips in pixels (384 in the papers)."""
    slots: tuple[int, int] = (2, 6)
    """Smallest and largest number of memory slots drawn per batch."""
    validation: int = 16
    """Clips of the same images, under other transforms, for the curve."""


def clips(stage: Stage[Parameters]) -> ImageClipSampler:
    """Short clips from the training images."""
    p = stage.parameters
    folder = prepared.images(stage.inputs("data") / "static")
    return ImageClipSampler(
        folder, batch=p.batch, frames=p.frames, objects=p.objects, size=p.size, seed=p.seed
    )


def look(sampler: ImageClipSampler) -> Figure:
    """The first batch, as the network sees it."""
    return batch_sheet(sampler.batch(0), title="Pre-training clips made from static images")


def train(stage: Stage[Parameters], sampler: ImageClipSampler) -> dict[str, Trained]:
    """New networks, each trained on the clips with the rule of its own paper."""
    p = stage.parameters
    _check_starts(stage)
    return train_networks(
        stage,
        list(p.systems),
        partial(_start, stage),
        sampler,
        partial(clip_loss, slots=p.slots),
        partial(validation_score, batches=_held_out(stage), slots=p.slots[1], device=p.device),
    )


def _check_starts(stage: Stage[Parameters]) -> None:
    """Before the long work: InputError where a network starts from nothing that will be there."""
    before: list[str] = []
    for name, entry in stage.parameters.systems.items():
        known = entry.start in (None, "shipped", *before)
        if not known and not (stage.root / str(entry.start)).is_file():
            raise InputError(
                f"systems.{name}.start: expected shipped, a network before it ({', '.join(before) or 'none'}) or a "
                f"checkpoint below {stage.root}, found {entry.start!r}: correct it, or move that network up"
            )
        before.append(name)


def _start(
    stage: Stage[Parameters], name: str, before: Mapping[str, Trained]
) -> tuple[nn.Module, dict[str, Any]]:
    """A network as its training finds it, and its description."""
    entry = stage.parameters.systems[name]
    model = build_model(entry.system, entry.fields)
    if entry.start is not None and entry.start in before:
        new = load_shared(model, before[entry.start].model.state_dict(), entry.start)
        print(f"{name} starts from {entry.start}; new in it: {', '.join(new) or 'nothing'}")
    elif entry.start is not None:
        path = shipped_checkpoint(entry.system) if entry.start == "shipped" else stage.root / entry.start
        load_weights(model, load_model(path)[0].state_dict(), str(path))
    return model, {**entry.model_dump(), "default_size": stage.parameters.size}


def save(stage: Stage[Parameters], trained: dict[str, Trained]) -> dict[str, Figure]:
    """Write the weights and the numbers; returns the learning curves."""
    return save_networks(stage, trained, "Pre-training on static images", "J")


def _held_out(stage: Stage[Parameters]) -> list[ClipBatch]:
    p = stage.parameters
    folder = prepared.images(stage.inputs("data") / "static")
    seed = 1 + max([p.seed, *p.seeds.values()])  # of no network
    sampler = ImageClipSampler(
        folder, batch=p.validation, frames=p.frames, objects=p.objects, size=p.size, seed=seed
    )
    return [sampler.batch(0)]
