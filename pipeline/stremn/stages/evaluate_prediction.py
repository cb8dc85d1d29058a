"""Stage 6: predict the test videos freely with every system, and say how well and at what cost (STReMN Table 5)."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from stremn import paths
from stremn.data import prepared
from stremn.data.videos import to_pixels
from stremn.errors import InputError
from stremn.evaluation.bootstrap import Groups, groups_of_windows
from stremn.evaluation.lpips import load_lpips
from stremn.evaluation.prediction import PredictionScores, copy_last_frame, score_prediction
from stremn.figures.prediction_figures import curves_figure, prediction_strip
from stremn.inference.prediction_cost import milliseconds_per_frame
from stremn.memory import make_policy
from stremn.models.checkpoints import described_network, load_model, load_weights
from stremn.models.prediction import PredictionNetwork, as_predictor
from stremn.models.registry import PREDICTORS
from stremn.report.prediction_tables import Difference, cells, label, note, psnr_ahead
from stremn.settings import Settings
from stremn.stages.base import Computing, Stage
from stremn.tasks.prediction import predict_clips

ALEXNET = "STREMN_ALEXNET"  # environment variable: file of AlexNet's weights for LPIPS
COPY = "Copy the last frame"
KEYS = {COPY: "copy"}  # in metrics.json, where it is not the name in small letters

Scores = dict[str, dict[str, PredictionScores]]


class Variant(Settings):
    """A trained network with some fields changed that need no other weights."""

    of: str
    """Its name in the training stage."""
    fields: dict[str, Any]
    """The changed arguments of its class."""


class Parameters(Computing):
    """Settings of the stage."""

    seed: int = 0
    """Of the bootstrap."""
    observed: int = 10
    """Frames given."""
    predicted: int = 20
    """Frames to predict, any number."""
    slots: int = 5
    """K, of the systems with slots."""
    stride: int | dict[str, int] = 10
    """Frames between the starts of two test windows of a video, or that for each action."""
    conventions: list[str] = ["predrnn", "mim", "openstl"]
    """Entries of ``evaluation.conventions``; the comparison and the curves use the first one."""
    batch: int = 16
    """Windows side by side."""
    show: int = 3
    """Windows whose frames are drawn."""
    reference: str = "stremn"
    """The network that the others are compared with, window by window."""
    variants: dict[str, Variant] = {}
    """More rows on the same weights, by the name they have in the tables."""


@dataclass(frozen=True)
class Predicted:
    """What each system made of the test windows.

    Attributes:
        names: of the N windows.
        frames: the windows, (N, T, C, H, W).
        systems: name → predictions (N, P, C, H, W); the reference is the first.
        costs: name → ``parameters`` and ``milliseconds`` per predicted frame, where a network computes.
    """

    names: list[str]
    frames: np.ndarray
    systems: dict[str, np.ndarray]
    costs: dict[str, dict[str, float]]

    @property
    def groups(self) -> Groups:
        """What the bootstrap draws as a whole: people, videos, or blocks of time of one long video."""
        return groups_of_windows(self.names, self.frames.shape[1])


def networks(stage: Stage[Parameters]) -> dict[str, PredictionNetwork]:
    """All that were trained, the reference first, then the variants."""
    p, folder = stage.parameters, stage.inputs("train_prediction")
    trained = sorted(paths.networks(folder), key=lambda name: name != p.reference)
    if p.reference not in trained:
        raise InputError(f"expected a reference of {', '.join(trained)}, found {p.reference!r}: train it")
    made = {name: _load(paths.network(folder, name), {}) for name in trained}
    for name, variant in p.variants.items():
        if variant.of not in trained:
            raise InputError(f"expected a variant of {', '.join(trained)}, found {name!r} of {variant.of!r}")
        made[name] = _load(paths.network(folder, variant.of), variant.fields)
    return made


def predict(stage: Stage[Parameters]) -> Predicted:
    """Predict every test window with every system, and time it."""
    p = stage.parameters
    place = stage.inputs("data") / "walkers" / "test"
    found = prepared.videos(place).windows(p.observed + p.predicted, p.stride)
    names, frames = [name for name, _ in found], np.stack([window for _, window in found])
    policy = make_policy("learned", slots=p.slots)
    systems, costs = {}, {}
    for name, model in networks(stage).items():
        systems[name] = predict_clips(
            model, frames, p.observed, p.predicted, policy, batch=p.batch, device=p.device
        )
        costs[name] = {
            "parameters": float(sum(w.numel() for w in model.parameters())),
            "milliseconds": milliseconds_per_frame(
                model, frames[0, : p.observed], p.predicted, policy, device=p.device
            ),
        }
    systems[COPY] = copy_last_frame(frames[:, : p.observed], p.predicted)
    return Predicted(names, frames, systems, costs)


def score(stage: Stage[Parameters], made: Predicted) -> Scores:
    """Every convention's metrics of every system; the bootstrap draws whole people, videos or blocks of time."""
    p, truth = stage.parameters, made.frames[:, stage.parameters.observed :]
    lpips, weights = load_lpips(os.environ.get(ALEXNET), paths.raw(stage.root), p.device)
    scores = {
        convention: {
            name: score_prediction(
                predicted, truth, convention, lpips, lpips_reason=weights, groups=made.groups, seed=p.seed
            )
            for name, predicted in made.systems.items()
        }
        for convention in p.conventions
    }
    form = {c: {s: one.to_dict() for s, one in by.items()} for c, by in scores.items()}
    (stage.out / "scores.json").write_text(json.dumps(form), encoding="utf-8")
    values: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for convention, by in scores.items():
        for system, one in by.items():
            key = f"{_key(system)}.{convention}"
            values |= {f"{key}.{metric}": value for metric, value in one.mean.items()}
            reasons |= {f"{key}.{metric}": why for metric, why in one.reasons.items()}
    for system, cost in made.costs.items():
        values |= {f"{_key(system)}.{name}": value for name, value in cost.items()}
    for system, (ahead, _, _) in _ahead(stage, made, scores).items():
        values[f"{_key(system)}.psnr_ahead_of_{_key(p.reference)}"] = ahead
    for system, one in scores[p.conventions[0]].items():
        variant = p.variants.get(system)
        child = stage.child(
            _key(system),
            {"network": variant.of, **variant.fields} if variant else {"network": system},
            label(system),
        )
        for metric, curve in one.per_frame.items():
            child.series(f"over predicted frames/{metric}", range(1, len(curve or []) + 1), curve or [])
    stage.metrics(values, reasons, {"lpips_weights": weights}, _key(p.reference))
    return scores


def comparison(stage: Stage[Parameters], made: Predicted, scores: Scores) -> pd.DataFrame:
    """One row a system: parameters, time per predicted frame, the first convention's metrics with intervals."""
    p, ahead = stage.parameters, _ahead(stage, made, scores)
    rows: dict[str, dict[str, str]] = {}
    first = scores[p.conventions[0]]
    for system, one in first.items():
        cost, difference = made.costs.get(system), ahead.get(system)
        rows[label(system)] = {
            "parameters": f"{cost['parameters']:.0f}" if cost else "0",
            "ms per frame": f"{cost['milliseconds']:.3g}" if cost else "–",
            **cells(one),
            f"PSNR ahead of {label(p.reference)}": _signed(difference) if difference else "–",
        }
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis(note(first[p.reference]))
    stage.table("comparison", frame)
    return frame


def table(stage: Stage[Parameters], scores: Scores) -> pd.DataFrame:
    """One row per convention and system, with intervals; what could not be computed says why."""
    rows = {(c, label(system)): cells(one) for c, by in scores.items() for system, one in by.items()}
    first = next(iter(next(iter(scores.values())).values()))
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis(["convention", note(first)])
    stage.table("prediction", frame)
    return frame


def curves(stage: Stage[Parameters], scores: Scores) -> Figure:
    """Each metric of the first convention per predicted frame."""
    p = stage.parameters
    by = scores[p.conventions[0]]
    by_metric = {
        metric.upper(): {label(name): np.asarray(one.per_frame[metric]) for name, one in by.items()}
        for metric, value in by[p.reference].mean.items()
        if value is not None
    }
    figure = curves_figure(by_metric, observed=p.observed)
    stage.figure("per_frame", figure)
    return figure


def windows(stage: Stage[Parameters], made: Predicted) -> list[Figure]:
    """Some windows, spread over the test set: what was observed, the truth and every prediction."""
    p, drawn = stage.parameters, []
    for row in np.linspace(0, len(made.frames) - 1, p.show).round().astype(int):
        shown = {label(name): to_pixels(predicted[row]) for name, predicted in made.systems.items()}
        true = to_pixels(made.frames[row])
        drawn.append(prediction_strip(true[: p.observed], true[p.observed :], shown))
        stage.figure(f"window_{row:03d}", drawn[-1])
    return drawn


def _load(path: Path, changed: dict[str, Any]) -> PredictionNetwork:
    """A trained network with some fields changed."""
    model, meta = load_model(path, PREDICTORS)
    if changed:
        other = described_network({**meta, "fields": {**meta["fields"], **changed}}, PREDICTORS)
        load_weights(other, model.state_dict(), str(path))
        model = other.eval()
    return as_predictor(model)


def _key(name: str) -> str:
    """As metrics.json and MLflow write it."""
    return KEYS.get(name, re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_"))


def _ahead(stage: Stage[Parameters], made: Predicted, scores: Scores) -> dict[str, Difference]:
    p = stage.parameters
    return psnr_ahead(scores[p.conventions[0]], p.reference, made.groups.labels, p.seed)


def _signed(difference: Difference) -> str:
    mean, low, high = difference
    return f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"
