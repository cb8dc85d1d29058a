"""Stage 2: pre-train on static images turned into short clips (STReMN Sec. 4.1.1, STM Sec. 3.5)."""

from functools import partial
from typing import Any

from matplotlib.figure import Figure
from torch import nn

from stremn.data.batches import ClipBatch
from stremn.data.images import ImageClipSampler, StaticFolder
from stremn.data.loader import batches
from stremn.data.sheets import batch_sheet
from stremn.models.checkpoints import save_model
from stremn.models.registry import build_model
from stremn.settings import Settings
from stremn.stages.base import Stage
from stremn.training.curves import loss_figure
from stremn.training.loop import History, Plan, fit, seed_everything
from stremn.training.vos import clip_loss, validation_score


class Parameters(Settings):
    """Settings of the stage.

    Attributes:
        seed: of weights, batches and noise.
        device: where to train.
        system: VOS system, entry of ``models.registry.SYSTEMS``.
        fields: arguments of the system's class.
        plan: steps, learning rate and so on.
        batch: clips per step.
        frames: frames per clip (5 in STReMN).
        objects: most objects per clip.
        size: height and width of the clips in pixels (384 in the papers).
        slots: smallest and largest number of memory slots drawn per batch.
        validation: clips of the same images, under other transforms, for the curve.
        workers: processes that prepare batches; 0: none.
    """

    seed: int = 0
    device: str = "cpu"
    system: str = "stremn"
    fields: dict[str, Any] = {}
    plan: Plan
    batch: int = 16
    frames: int = 3
    objects: int = 2
    size: int = 64
    slots: tuple[int, int] = (2, 6)
    validation: int = 16
    workers: int = 0


def clips(stage: Stage[Parameters]) -> ImageClipSampler:
    """Short clips from the training images."""
    p = stage.parameters
    folder = StaticFolder(stage.inputs("data") / "static")
    return ImageClipSampler(
        folder, batch=p.batch, frames=p.frames, objects=p.objects, size=p.size, seed=p.seed
    )


def look(sampler: ImageClipSampler) -> Figure:
    """The first batch, as the network sees it."""
    return batch_sheet(sampler.batch(0), title="Pre-training clips made from static images")


def train(stage: Stage[Parameters], sampler: ImageClipSampler) -> tuple[nn.Module, History]:
    """A new network, trained on the clips."""
    p = stage.parameters
    seed_everything(p.seed)
    model = build_model(p.system, p.fields)
    held_out = _held_out(stage)
    history = fit(
        model,
        partial(batches, sampler, workers=p.workers),
        partial(clip_loss, slots=p.slots),
        p.plan.model_copy(update={"seed": p.seed}),
        resume_dir=stage.resume_dir,
        log=stage.log,
        validate=partial(validation_score, batches=held_out, slots=p.slots[1], device=p.device),
        device=p.device,
        description="pre-training",
    )
    return model, history


def save(stage: Stage[Parameters], model: nn.Module, history: History) -> Figure:
    """Write the weights and the numbers; returns the learning curve."""
    p = stage.parameters
    meta = {
        "system": p.system,
        "fields": p.fields,
        "default_size": p.size,
        "trained": {"pretrain": p.model_dump(mode="json")},
    }
    save_model(stage.out / "model.safetensors", model, meta)
    stage.metrics(
        {
            "validation_J": history.best
            if history.best is not None
            else history.rows[-1].get("validation_J"),
            "loss": history.last_loss,
            "seconds": history.seconds,
            "parameters": sum(w.numel() for w in model.parameters()),
        }
    )
    return loss_figure(history.rows, title="Pre-training on static images", validation="J")


def _held_out(stage: Stage[Parameters]) -> list[ClipBatch]:
    p = stage.parameters
    folder = StaticFolder(stage.inputs("data") / "static")
    sampler = ImageClipSampler(
        folder, batch=p.validation, frames=p.frames, objects=p.objects, size=p.size, seed=p.seed + 1
    )
    return [sampler.batch(0)]
