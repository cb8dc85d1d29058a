"""Stage 2: pre-train on static images turned into short clips (STReMN Sec. 4.1.1, STM Sec. 3.5)."""

from functools import partial
from pathlib import Path

from matplotlib.figure import Figure
from torch import nn

from stremn import fingerprint
from stremn.data import prepared
from stremn.data.batches import ClipBatch, batches, with_seed
from stremn.data.images import ImageClipSampler
from stremn.errors import InputError
from stremn.figures.sheets import batch_sheet
from stremn.models.checkpoints import load_model, load_shared, load_weights, shipped_checkpoint
from stremn.models.registry import build_model
from stremn.settings import Settings
from stremn.stages.base import Stage
from stremn.stages.networks import System, Trained, prefixed, save_all
from stremn.training.loop import History, Plan, fit, seed_everything
from stremn.training.vos import clip_loss, validation_score


class Parameters(Settings):
    """Settings of the stage.

    Attributes:
        seed: of weights, batches and noise.
        device: where to train.
        systems: the networks to train, by name, one after the other; those of one seed on the same batches.
        plan: steps, learning rate and so on, of each.
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
    systems: dict[str, System] = {"stremn": System()}
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
    folder = prepared.images(stage.inputs("data") / "static")
    return ImageClipSampler(
        folder, batch=p.batch, frames=p.frames, objects=p.objects, size=p.size, seed=p.seed
    )


def look(sampler: ImageClipSampler) -> Figure:
    """The first batch, as the network sees it."""
    return batch_sheet(sampler.batch(0), title="Pre-training clips made from static images")


def train(stage: Stage[Parameters], sampler: ImageClipSampler) -> dict[str, Trained]:
    """New networks, each trained on the clips with the rule of its own paper."""
    _check_starts(stage)
    held_out = _held_out(stage)
    trained: dict[str, Trained] = {}
    for name in stage.parameters.systems:
        trained[name] = _train(stage, sampler, held_out, name, trained)
    return trained


def _train(
    stage: Stage[Parameters],
    sampler: ImageClipSampler,
    held_out: list[ClipBatch],
    name: str,
    before: dict[str, Trained],
) -> Trained:
    p, entry = stage.parameters, stage.parameters.systems[name]
    seed = p.seed if entry.seed is None else entry.seed
    sampler = with_seed(sampler, seed)
    seed_everything(seed)
    model, resume = _started(stage, name, before)
    settings = p.model_dump(mode="json", exclude={"systems"}) | entry.model_dump(mode="json")
    trained = {"pretrain": settings | {"seed": seed}}
    meta = {"system": entry.system, "fields": entry.fields, "default_size": p.size, "trained": trained}
    if entry.steps == 0:
        return Trained(model.eval(), meta, History())
    history = fit(
        model,
        partial(batches, sampler, workers=p.workers),
        partial(clip_loss, slots=p.slots),
        p.plan.model_copy(update={"seed": seed, "steps": entry.steps or p.plan.steps}),
        resume_dir=resume,
        log=prefixed(stage.log, name),
        validate=partial(validation_score, batches=held_out, slots=p.slots[1], device=p.device),
        device=p.device,
        description=f"pre-training {name}",
    )
    return Trained(model, meta, history)


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


def _started(stage: Stage[Parameters], name: str, before: dict[str, Trained]) -> tuple[nn.Module, Path]:
    """A network as its training finds it, and where its progress is saved."""
    entry, resume = stage.parameters.systems[name], stage.resume_dir / name
    model = build_model(entry.system, entry.fields)
    if entry.start is None:
        return model, resume
    if entry.start in before:
        new = load_shared(model, before[entry.start].model.state_dict(), entry.start)
        print(f"{name} starts from {entry.start}; new in it: {', '.join(new) or 'nothing'}")
        return model, resume
    path = shipped_checkpoint(entry.system) if entry.start == "shipped" else stage.root / entry.start
    load_weights(model, load_model(path)[0].state_dict(), str(path))
    return model, resume / fingerprint.of_file(path)


def save(stage: Stage[Parameters], trained: dict[str, Trained]) -> dict[str, Figure]:
    """Write the weights and the numbers; returns the learning curves."""
    return save_all(stage, trained, "Pre-training on static images", "J")


def _held_out(stage: Stage[Parameters]) -> list[ClipBatch]:
    p = stage.parameters
    folder = prepared.images(stage.inputs("data") / "static")
    seed = 1 + max([p.seed, *(entry.seed or 0 for entry in p.systems.values())])  # of no network
    sampler = ImageClipSampler(
        folder, batch=p.validation, frames=p.frames, objects=p.objects, size=p.size, seed=seed
    )
    return [sampler.batch(0)]
