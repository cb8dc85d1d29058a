"""Stage 3: fine-tune on video clips (STReMN Sec. 4.1.1)."""

from functools import partial

from matplotlib.figure import Figure
from torch import nn

from stremn.data.batches import ClipBatch
from stremn.data.clips import ClipFolder
from stremn.data.loader import batches
from stremn.data.sampling import ClipSampler, SkipSchedule
from stremn.data.sheets import batch_sheet
from stremn.models.checkpoints import load_model, save_model
from stremn.settings import Settings
from stremn.stages.base import Stage
from stremn.training.curves import loss_figure
from stremn.training.loop import History, Plan, fit, seed_everything
from stremn.training.vos import clip_loss, validation_score


class Parameters(Settings):
    """Settings of the stage.

    Attributes:
        seed: of batches and noise.
        device: where to train.
        plan: steps, learning rate and so on.
        batch: clips per step.
        frames: frames per clip (10 in STReMN).
        objects: most objects per clip.
        size: height and width of the clips in pixels (384 in the papers).
        max_skip: most frames left out between two sampled ones; it grows to this and shrinks again (STM: 25).
        slots: smallest and largest number of memory slots drawn per batch.
        validation: held-out clips for the curve and the choice of weights.
        validation_frames: frames of each of them.
        workers: processes that prepare batches; 0: none.
    """

    seed: int = 0
    device: str = "cpu"
    plan: Plan
    batch: int = 4
    frames: int = 8
    objects: int = 3
    size: int = 64
    max_skip: int = 5
    slots: tuple[int, int] = (2, 6)
    validation: int = 8
    validation_frames: int = 24
    workers: int = 0


def clips(stage: Stage[Parameters]) -> ClipSampler:
    """Temporally ordered frames of the training clips."""
    p = stage.parameters
    folder = ClipFolder(stage.inputs("data") / "vos" / "train")
    return ClipSampler(
        folder,
        batch=p.batch,
        frames=p.frames,
        objects=p.objects,
        size=p.size,
        max_skip=SkipSchedule(p.plan.steps, p.max_skip, final=p.max_skip // 2),
        seed=p.seed,
    )


def look(sampler: ClipSampler) -> Figure:
    """The first batch, as the network sees it."""
    return batch_sheet(sampler.batch(0), title="Fine-tuning clips")


def train(stage: Stage[Parameters], sampler: ClipSampler) -> tuple[nn.Module, dict, History]:
    """The pre-trained network, trained further on clips long enough for evictions to happen."""
    p = stage.parameters
    seed_everything(p.seed)
    model, meta = load_model(stage.inputs("pretrain") / "model.safetensors")
    history = fit(
        model,
        partial(batches, sampler, workers=p.workers),
        partial(clip_loss, slots=p.slots),
        p.plan.model_copy(update={"seed": p.seed}),
        resume_dir=stage.resume_dir,
        log=stage.log,
        validate=partial(validation_score, batches=_held_out(stage), slots=p.slots[1], device=p.device),
        device=p.device,
        description="fine-tuning",
    )
    return model, meta, history


def save(stage: Stage[Parameters], model: nn.Module, meta: dict, history: History) -> Figure:
    """Write the weights and the numbers; returns the learning curve."""
    trained = {**meta["trained"], "finetune": stage.parameters.model_dump(mode="json")}
    description = {**meta, "default_size": stage.parameters.size, "trained": trained}
    save_model(stage.out / "model.safetensors", model, description)
    stage.metrics(
        {
            "validation_J": history.best,
            "loss": history.last_loss,
            "seconds": history.seconds,
        }
    )
    return loss_figure(history.rows, title="Fine-tuning on clips", validation="J")


def _held_out(stage: Stage[Parameters]) -> list[ClipBatch]:
    p = stage.parameters
    folder = ClipFolder(stage.inputs("data") / "vos" / "val")
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
