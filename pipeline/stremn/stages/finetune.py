"""Stage 3: fine-tune on video clips (STReMN Sec. 4.1.1)."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from matplotlib.figure import Figure
from pydantic import Field
from torch import nn

from stremn import paths
from stremn.data import prepared
from stremn.data.batches import ClipBatch, batches
from stremn.data.returns import Returns
from stremn.data.sampling import ClipSampler, SkipSchedule
from stremn.figures.sheets import batch_sheet
from stremn.models.checkpoints import load_model
from stremn.models.stremn import STReMN
from stremn.settings import Settings
from stremn.stages.base import Stage
from stremn.stages.networks import Trained, TrainingSettings, save_networks, train_networks
from stremn.training.clip_loss import clip_loss, validation_score
from stremn.training.looks import DescribedClips, look_loss
from stremn.training.loop import Plan, fit, seed_everything


class JudgeTraining(Settings):
    """How a judge of looks is trained, see ``training.looks``."""

    steps: int = Field(default=300, ge=1)
    """Steps."""
    batch: int = 4
    """Clips per step."""
    learning_rate: float = 2e-3
    """Of Adam at the start; it falls to a hundredth."""


class Parameters(TrainingSettings):
    """Settings of the stage."""

    batch: int = 4
    """Clips per step."""
    frames: int = 8
    """Frames per clip (10 in STReMN)."""
    objects: int = 3
    """Most objects per clip."""
    size: int = 64
    """Height and width of the clips in pixels (384 in the papers)."""
    used_at: int | None = None
    """Shorter side in pixels at which the networks process a video unless told otherwise; None: ``size``."""
    max_skip: int = 5
    """Most frames left out between two sampled ones; it grows to this and shrinks again (STM: 25)."""
    jitter: float = 0.0
    """Small affine movement of each frame on its own, see ``ClipSampler``."""
    returns: float = 0.0
    """Share of the clips whose frames show a return, of generated clips that know their appearances."""
    slots: tuple[int, int] = (2, 6)
    """Smallest and largest number of memory slots drawn per batch."""
    judge: JudgeTraining | None = None
    """A judge of looks for the rule ``learned_redundancy``, trained on generated clips that know their appearances,
    after all else and without changing it; None: no judge."""
    validation: int = 8
    """Held-out clips for the curve and the choice of weights."""
    validation_frames: int = 24
    """Frames of each of them."""


def clips(stage: Stage[Parameters]) -> ClipSampler:
    """Temporally ordered frames of the training clips."""
    p = stage.parameters
    folder = prepared.clips(stage.inputs("data") / "vos" / "train")
    return ClipSampler(
        folder,
        batch=p.batch,
        frames=p.frames,
        objects=p.objects,
        size=p.size,
        jitter=p.jitter,
        max_skip=SkipSchedule(p.plan.steps, p.max_skip, final=p.max_skip // 2),
        seed=p.seed,
        returns=Returns.of(folder) if p.returns else None,
        share=p.returns,
    )


def look(sampler: ClipSampler) -> Figure:
    """The first batch, as the network sees it."""
    return batch_sheet(sampler.batch(0), title="Fine-tuning clips")


def train(stage: Stage[Parameters], sampler: ClipSampler) -> dict[str, Trained]:
    """The pre-trained networks, trained further on clips long enough for evictions to happen."""
    p = stage.parameters
    trained = train_networks(
        stage,
        paths.networks(stage.inputs("pretrain")),
        partial(_start, stage),
        sampler,
        partial(clip_loss, slots=p.slots),
        partial(validation_score, batches=_held_out(stage), slots=p.slots[1], device=p.device),
    )
    return trained if p.judge is None else {name: _judged(stage, name, trained[name]) for name in trained}


def _judged(stage: Stage[Parameters], name: str, one: Trained) -> Trained:
    """The network with a judge of looks; one that learns no update stays as it is."""
    p, model = stage.parameters, one.model
    if p.judge is None or not isinstance(model, STReMN):
        return one
    seed = p.seeds.get(name, p.seed)
    seed_everything(seed)
    judge = model.add_judge()
    clips = prepared.clips(stage.inputs("data") / "vos" / "train")
    plan = Plan(
        steps=p.judge.steps,
        learning_rate=p.judge.learning_rate,
        schedule="cosine",
        final_learning_rate=p.judge.learning_rate / 100,
        log_every=20,
    )
    fit(
        judge,
        partial(batches, DescribedClips(model, clips, p.judge.batch, seed)),
        look_loss,
        plan,
        seed=seed,
        log=lambda step, row: stage.children[name].metrics({f"judge/{k}": v for k, v in row.items()}, step),
        device=p.device,
        description=f"{stage.name} {name}, judge",
    )
    judge.eval()
    return replace(one, meta={**one.meta, "fields": {**one.meta["fields"], "judge": True}})


def _start(stage: Stage[Parameters], name: str, _: Mapping[str, Trained]) -> tuple[nn.Module, dict[str, Any]]:
    """A pre-trained network, and its description."""
    model, meta = load_model(paths.network(stage.inputs("pretrain"), name))
    return model, {**meta, "default_size": stage.parameters.used_at or stage.parameters.size}


def save(stage: Stage[Parameters], trained: dict[str, Trained]) -> dict[str, Figure]:
    """Write the weights and the numbers; returns the learning curves."""
    return save_networks(stage, trained, "Fine-tuning on clips", "J")


def _held_out(stage: Stage[Parameters]) -> list[ClipBatch]:
    p = stage.parameters
    folder = prepared.clips(stage.inputs("data") / "vos" / "val")
    sampler = ClipSampler(
        folder,
        batch=p.validation,
        frames=p.validation_frames,
        objects=p.objects,
        size=p.size,
        max_skip=0,
        seed=p.seed + 1,
        augment=False,
    )
    return [sampler.batch(0)]
