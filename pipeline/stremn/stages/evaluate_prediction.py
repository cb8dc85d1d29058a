"""Stage 6: predict the test people freely and score it beside copying the last frame (STReMN Table 5)."""

import json
import os
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from stremn.analysis.prediction_figures import curves_figure, prediction_strip
from stremn.data.windows import test_windows
from stremn.evaluation.lpips import load_lpips
from stremn.evaluation.prediction import PredictionScores, copy_last_frame, score_prediction
from stremn.memory import make_policy
from stremn.models.checkpoints import load_model
from stremn.models.registry import PREDICTORS
from stremn.settings import Settings
from stremn.stages.base import Stage
from stremn.tasks.prediction import predict_clips

ALEXNET = "STREMN_ALEXNET"  # environment variable: file of AlexNet's weights for LPIPS
MODEL, COPY = "STReMN", "Copy the last frame"


class Parameters(Settings):
    """Settings of the stage.

    Attributes:
        seed: of the bootstrap.
        device: where to predict.
        observed: frames given.
        predicted: frames to predict, any number.
        slots: K.
        stride: frames between the starts of two test windows of a video.
        conventions: entries of ``evaluation.conventions``; the first one's curves are drawn.
        batch: windows side by side.
        show: windows whose frames are drawn.
    """

    seed: int = 0
    device: str = "cpu"
    observed: int = 10
    predicted: int = 20
    slots: int = 5
    stride: int = 10
    conventions: list[str] = ["predrnn", "mim", "openstl"]
    batch: int = 16
    show: int = 3


def predict(stage: Stage[Parameters]) -> tuple[list[str], np.ndarray, dict[str, np.ndarray]]:
    """Names of the test windows, the windows (N, T, 1, H, W), and what each system predicts."""
    p = stage.parameters
    windows = test_windows(stage.inputs("data") / "walkers" / "test", p.observed + p.predicted, p.stride)
    frames = np.stack([window for _, window in windows])
    model, _ = load_model(stage.inputs("train_prediction") / "model.safetensors", PREDICTORS)
    policy = make_policy("learned", slots=p.slots)
    ours = predict_clips(model, frames, p.observed, p.predicted, policy, batch=p.batch, device=p.device)  # type: ignore[arg-type]
    systems = {MODEL: ours, COPY: copy_last_frame(frames[:, : p.observed], p.predicted)}
    return [name for name, _ in windows], frames, systems


def score(
    stage: Stage[Parameters], names: list[str], frames: np.ndarray, systems: dict[str, np.ndarray]
) -> dict[str, dict[str, PredictionScores]]:
    """Every convention's metrics of every system; the bootstrap draws whole people, not windows."""
    p = stage.parameters
    truth, people = frames[:, p.observed :], [name.split("_")[0] for name in names]
    lpips, reason = load_lpips(from_environment=os.environ.get(ALEXNET), device=p.device)
    found = {
        convention: {
            name: score_prediction(
                predicted, truth, convention, lpips, lpips_reason=reason, groups=people, seed=p.seed
            )
            for name, predicted in systems.items()
        }
        for convention in p.conventions
    }
    form = {c: {s: scores.to_dict() for s, scores in by.items()} for c, by in found.items()}
    (stage.out / "scores.json").write_text(json.dumps(form), encoding="utf-8")
    values: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for convention, by in found.items():
        for system, scores in by.items():
            key = f"{'stremn' if system == MODEL else 'copy'}.{convention}"
            values |= {f"{key}.{metric}": value for metric, value in scores.mean.items()}
            reasons |= {f"{key}.{metric}": reason for metric, reason in scores.reasons.items()}
    stage.metrics(values, reasons)
    return found


def table(stage: Stage[Parameters], found: dict[str, dict[str, PredictionScores]]) -> pd.DataFrame:
    """One row per convention and system, with intervals; what could not be computed says why."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for convention, by in found.items():
        for system, scores in by.items():
            rows[(convention, system)] = {
                metric: f"null ({scores.reasons.get(metric, '')})"
                if value is None
                else _interval(scores, metric)
                for metric, value in scores.mean.items()
            }
    frame = pd.DataFrame.from_dict(rows, orient="index")
    stage.table("prediction", frame)
    return frame


def figures(
    stage: Stage[Parameters],
    frames: np.ndarray,
    systems: dict[str, np.ndarray],
    found: dict[str, dict[str, PredictionScores]],
) -> dict[str, Figure]:
    """Each metric per predicted frame, and some predictions beside the truth."""
    p = stage.parameters
    by = found[p.conventions[0]]
    curves = {
        metric.upper(): {name: np.asarray(s.per_frame[metric]) for name, s in by.items()}
        for metric, value in by[MODEL].mean.items()
        if value is not None
    }
    drawn = {"per_frame": curves_figure(curves, observed=p.observed)}
    for row in np.linspace(0, len(frames) - 1, p.show).round().astype(int):
        shown = {name: predicted[row, :, 0] for name, predicted in systems.items()}
        drawn[f"window_{row:03d}"] = prediction_strip(
            frames[row, : p.observed, 0], frames[row, p.observed :, 0], shown
        )
    for name, figure in drawn.items():
        stage.figure(name, figure)
    return drawn


def _interval(scores: PredictionScores, metric: str) -> str:
    low, high = scores.interval[metric]  # type: ignore[misc]
    return f"{scores.mean[metric]:.4g} [{low:.4g}, {high:.4g}]"
