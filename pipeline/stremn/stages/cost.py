"""Stage 8: time and memory against the length of the video (STReMN supplementary Sec. 1)."""

import json
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from tqdm import tqdm

from stremn import paths
from stremn.data import prepared
from stremn.figures.cost_figures import cost_figure, step_time_figure
from stremn.inference.cost import Cost, measure
from stremn.inference.settings import StreamSettings
from stremn.inference.stream import Stream
from stremn.memory import POLICIES
from stremn.models.checkpoints import load_model
from stremn.stages.base import Computing, Stage
from stremn.tasks.rules import policy_for


class Parameters(Computing):
    """Settings of the stage."""

    network: str = "stremn"
    """The network, by its name in the training stages."""
    slots: int = 6
    """K of the learned rule."""
    rules: list[str] = ["learned", "every_n", "first_and_previous"]
    """Systems to measure."""
    every: int = 5
    """Period of STM's rule in frames."""
    lengths: list[int] = [10, 20, 50, 100, 200, 500, 1000, 2000]
    """Video lengths to report, in frames; the longest is run, the others are read off it."""
    side: int | None = None
    """Shorter side in pixels at which frames are processed; None: native size."""
    window: int = 10
    """Frames whose median time is reported at each length."""
    split: str = "test"
    """The first clip of this split is played back and forth."""


def run(stage: Stage[Parameters]) -> dict[str, Cost]:
    """One long stream per rule, each in a process of its own so that memory is counted apart."""
    p = stage.parameters
    context = get_context("spawn")
    found = {}
    for rule in tqdm(p.rules, desc="streams", mininterval=5):
        with context.Pool(1) as pool:
            job = (p, rule, stage.inputs("data"), paths.network(stage.inputs("finetune"), p.network))
            found[rule] = pool.apply(_stream, job)
    return found


def _stream(p: Parameters, rule: str, data: Path, checkpoint: Path) -> Cost:
    clips = prepared.clips(data / "vos" / p.split)
    network, meta = load_model(checkpoint)
    policy = policy_for(network, rule, slots=p.slots, every=p.every)
    stream = Stream(network, policy, meta, StreamSettings(device=p.device, size=p.side, trace=False))
    return measure(stream, clips[0].frames, clips[0].masks[0], max(p.lengths))


def summarise(stage: Stage[Parameters], found: dict[str, Cost]) -> dict[str, Any]:
    """Cost at each length, and whether it grows; written to ``cost.json``."""
    p = stage.parameters
    systems = {rule: _at_lengths(cost, p.lengths, p.window) for rule, cost in found.items()}
    metrics: dict[str, float] = {}
    for rule, cost in found.items():
        metrics |= {f"{rule}.{name}": value for name, value in growth(cost).items()}
        child = stage.child(rule, {"rule": rule, "slots": p.slots}, POLICIES[rule].title)
        for name, values in systems[rule].items():
            child.series(f"over length/{name}", systems[rule]["frames"], values)
    (stage.out / "cost.json").write_text(
        json.dumps({"systems": systems, "growth": metrics}), encoding="utf-8"
    )
    stage.metrics(metrics, headline=p.rules[0])
    table = pd.concat(
        {POLICIES[r].title: pd.DataFrame(rows).set_index("frames") for r, rows in systems.items()}
    )
    stage.table("cost", table)
    return systems


def growth(cost: Cost) -> dict[str, float]:
    """Last hundred frames against the second hundred (of at least 300): time, process memory, slots."""
    if len(cost.seconds) < 300:
        return {"slots": float(cost.slots[-1])}
    early, late = slice(100, 200), slice(-100, None)
    return {
        "time_ratio": float(np.median(cost.seconds[late]) / np.median(cost.seconds[early])),
        "resident_ratio": float(np.median(cost.resident_bytes[late]) / np.median(cost.resident_bytes[early])),
        "slots": float(cost.slots[-1]),
        "milliseconds_per_frame": 1e3 * float(np.median(cost.seconds[late])),
    }


def draw(stage: Stage[Parameters], systems: dict[str, Any], found: dict[str, Cost]) -> dict[str, Figure]:
    """Cost against length, and the time of every frame."""
    drawn = {
        "cost": cost_figure({POLICIES[rule].title: rows for rule, rows in systems.items()}),
        "frame_time": step_time_figure({POLICIES[rule].title: c.seconds for rule, c in found.items()}),
    }
    for name, figure in drawn.items():
        stage.figure(name, figure)
    return drawn


def _at_lengths(cost: Cost, lengths: list[int], window: int) -> dict[str, list[float]]:
    return {
        "frames": [float(n) for n in lengths],
        "seconds_per_frame": [float(np.median(cost.seconds[max(1, n - window) : n])) for n in lengths],
        "peak_bytes": [float(max(cost.resident_bytes[:n])) for n in lengths],
        "memory_bytes": [float(cost.memory_bytes[n - 1]) for n in lengths],
        "slots": [float(cost.slots[n - 1]) for n in lengths],
    }
