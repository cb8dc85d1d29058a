"""Stage 5: train video prediction with a memory of five slots (STReMN Sec. 4.2)."""

from functools import partial
from typing import Any

from matplotlib.figure import Figure
from torch import nn

from stremn.data.loader import batches
from stremn.data.sheets import video_sheet
from stremn.data.windows import WindowSampler
from stremn.memory import make_policy
from stremn.models.checkpoints import save_model
from stremn.models.registry import PREDICTORS, build_model
from stremn.settings import Settings
from stremn.stages.base import Stage
from stremn.tasks.prediction_loss import LossWeights, prediction_loss
from stremn.training.curves import loss_figure
from stremn.training.loop import History, Plan, fit, seed_everything
from stremn.training.prediction import validation_ssim


class Parameters(Settings):
    """Settings of the stage.

    Attributes:
        seed: of weights, batches and noise.
        device: where to train.
        system: entry of ``models.registry.PREDICTORS``.
        fields: arguments of the system's class.
        plan: steps, learning rate and so on; the best validation weights are averaged.
        batch: windows per step.
        observed: frames given.
        predicted: frames to predict in training.
        slots: K (5 in the paper).
        weights: of the loss terms, ``tasks.prediction_loss.LossWeights``.
        validation: windows of people kept apart from training and test.
        workers: processes that prepare batches; 0: none.
    """

    seed: int = 0
    device: str = "cpu"
    system: str = "stremn"
    fields: dict[str, Any] = {}
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


def train(stage: Stage[Parameters], sampler: WindowSampler) -> tuple[nn.Module, History]:
    """A new network, trained to predict freely."""
    p = stage.parameters
    seed_everything(p.seed)
    model = build_model(p.system, p.fields, PREDICTORS)
    policy = make_policy("learned", slots=p.slots)
    folder = stage.inputs("data") / "walkers" / "val"
    held_out = WindowSampler(
        folder, batch=p.validation, frames=p.observed + p.predicted, seed=p.seed + 1
    ).batch(0)
    history = fit(
        model,
        partial(batches, sampler, workers=p.workers),
        partial(prediction_loss, observed=p.observed, policy=policy, weights=LossWeights(**p.weights)),
        p.plan.model_copy(update={"seed": p.seed}),
        resume_dir=stage.resume_dir,
        log=stage.log,
        validate=partial(
            validation_ssim, windows_BTCHW=held_out, observed=p.observed, policy=policy, device=p.device
        ),
        device=p.device,
        description="training prediction",
    )
    return model, history


def save(stage: Stage[Parameters], model: nn.Module, history: History) -> Figure:
    """Write the weights and the numbers; returns the learning curve."""
    p = stage.parameters
    trained = {"train_prediction": p.model_dump(mode="json")}
    save_model(
        stage.out / "model.safetensors",
        model,
        {"system": p.system, "task": "prediction", "fields": p.fields, "trained": trained},
    )
    stage.metrics(
        {
            "validation_SSIM": history.best,
            "loss": history.last_loss,
            "seconds": history.seconds,
            "parameters": sum(w.numel() for w in model.parameters()),
        }
    )
    return loss_figure(history.rows, title="Training video prediction", validation="SSIM")
