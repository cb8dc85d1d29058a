"""Stage 3: fine-tune on video clips (STReMN Sec. 4.1.1)."""

from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from stremn import paths
from stremn.data import prepared
from stremn.data.batches import ClipBatch, batches, with_seed
from stremn.data.sampling import ClipSampler, SkipSchedule
from stremn.errors import InputError
from stremn.figures.sheets import batch_sheet
from stremn.models.checkpoints import load_model
from stremn.settings import Settings
from stremn.stages.base import Stage
from stremn.stages.networks import Trained, prefixed, save_all
from stremn.training.loop import Plan, fit, seed_everything
from stremn.training.vos import clip_loss, validation_score


class Parameters(Settings):
    """Settings of the stage.

    Attributes:
        seed: of batches and noise.
        device: where to train.
        plan: steps, learning rate and so on, of each network that was pre-trained.
        steps: other numbers of steps, by the network's name.
        seeds: other seeds, by the network's name.
        batch: clips per step.
        frames: frames per clip (10 in STReMN).
        objects: most objects per clip.
        size: height and width of the clips in pixels (384 in the papers).
        used_at: shorter side with which the networks look at a video unless told otherwise; None: ``size``.
        jitter: small affine movement of each frame on its own, see ``ClipSampler``.
        max_skip: most frames left out between two sampled ones; it grows to this and shrinks again (STM: 25).
        slots: smallest and largest number of memory slots drawn per batch.
        validation: held-out clips for the curve and the choice of weights.
        validation_frames: frames of each of them.
        workers: processes that prepare batches; 0: none.
    """

    seed: int = 0
    device: str = "cpu"
    plan: Plan
    steps: dict[str, int] = {}
    seeds: dict[str, int] = {}
    batch: int = 4
    frames: int = 8
    objects: int = 3
    size: int = 64
    used_at: int | None = None
    max_skip: int = 5
    jitter: float = 0.0
    slots: tuple[int, int] = (2, 6)
    validation: int = 8
    validation_frames: int = 24
    workers: int = 0


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
    )


def look(sampler: ClipSampler) -> Figure:
    """The first batch, as the network sees it."""
    return batch_sheet(sampler.batch(0), title="Fine-tuning clips")


def train(stage: Stage[Parameters], sampler: ClipSampler) -> dict[str, Trained]:
    """The pre-trained networks, trained further on clips long enough for evictions to happen."""
    p, folder = stage.parameters, stage.inputs("pretrain")
    names = paths.networks(folder)
    strange = sorted((p.steps.keys() | p.seeds.keys()) - set(names))
    if strange:
        raise InputError(
            f"steps and seeds: expected names of pre-trained networks ({', '.join(names)}), found {strange[0]!r}: "
            "correct the name, or pre-train it"
        )
    held_out = _held_out(stage)
    return {name: _train(stage, sampler, held_out, paths.network(folder, name), name) for name in names}


def _train(
    stage: Stage[Parameters], sampler: ClipSampler, held_out: list[ClipBatch], path: Path, name: str
) -> Trained:
    p = stage.parameters
    steps, seed = p.steps.get(name, p.plan.steps), p.seeds.get(name, p.seed)
    seed_everything(seed)
    model, meta = load_model(path)
    sampler = with_seed(sampler, seed)
    history = fit(
        model,
        partial(batches, sampler, workers=p.workers),
        partial(clip_loss, slots=p.slots),
        p.plan.model_copy(update={"seed": seed, "steps": steps}),
        resume_dir=stage.resume_dir / name,
        log=prefixed(stage.log, name),
        validate=partial(validation_score, batches=held_out, slots=p.slots[1], device=p.device),
        device=p.device,
        description=f"fine-tuning {name}",
    )
    settings = p.model_dump(mode="json", exclude={"steps", "seeds"}) | {"steps": steps, "seed": seed}
    trained = {**meta["trained"], "finetune": settings}
    return Trained(model, {**meta, "default_size": p.used_at or p.size, "trained": trained}, history)


def save(stage: Stage[Parameters], trained: dict[str, Trained]) -> dict[str, Figure]:
    """Write the weights and the numbers; returns the learning curves."""
    return save_all(stage, trained, "Fine-tuning on clips", "J")


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
