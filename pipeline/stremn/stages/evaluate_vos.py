"""Stage 4: segment unseen clips with every rule, and score what was saved (STReMN Tables 1 and 2)."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from stremn.analysis.vos_figures import (
    difference_figure,
    rules_figure,
    segmentation_strip,
    slots_figure,
    time_figure,
)
from stremn.data.clips import ClipFolder
from stremn.evaluation.baselines import keep_first_mask
from stremn.evaluation.bootstrap import bootstrap_mean, paired_difference
from stremn.evaluation.folders import read_ids
from stremn.evaluation.papers import SLOTS
from stremn.evaluation.tables import systems_table
from stremn.evaluation.vos import VOSScores, score_folder
from stremn.memory import POLICIES, make_policy
from stremn.models.checkpoints import load_model
from stremn.settings import Settings
from stremn.stages.base import Stage
from stremn.tasks.folder import segment_folder, write_masks

BASELINE = "first_mask"


class Parameters(Settings):
    """Settings of the stage.

    Attributes:
        seed: of the random rules and the bootstrap.
        device: where to segment.
        slots: K, the same for every rule with a fixed number of slots.
        rules: entries of ``memory.POLICIES``.
        learned_slots: numbers of slots of the learned rule (STReMN Table 2).
        every: period of STM's rule in frames.
        protocol: which frames and objects are scored, entry of ``evaluation.protocols``.
        batch: clips side by side.
        split: which clips.
    """

    seed: int = 0
    device: str = "cpu"
    slots: int = 6
    rules: list[str] = list(POLICIES)
    learned_slots: list[int] = [3, 4, 5, 6, 7]
    every: int = 5
    protocol: str = "procedural"
    batch: int = 6
    split: str = "test"


def title(name: str) -> str:
    """What a system is called in tables and figures."""
    if name == BASELINE:
        return "Keep the first mask"
    rule, _, slots = name.partition("@")
    return POLICIES[rule].title + (f", {slots} slots" if slots else "")


def segment(stage: Stage[Parameters]) -> list[str]:
    """Write the masks of every rule, every number of slots and the baseline; returns the systems' names."""
    p = stage.parameters
    clips = ClipFolder(stage.inputs("data") / "vos" / p.split)
    network, _ = load_model(stage.inputs("finetune") / "model.safetensors")
    runs = {rule: (rule, p.slots) for rule in p.rules}
    runs |= {f"learned@{k}": ("learned", k) for k in p.learned_slots if k != p.slots}
    for name, (rule, slots) in runs.items():
        policy = make_policy(rule, slots=slots, every=p.every)
        out = stage.out / "predictions" / name
        segment_folder(
            network, clips, policy, out, batch=p.batch, device=p.device, seed=p.seed, description=name
        )
    for i, name in enumerate(clips.names):
        write_masks(
            stage.out / "predictions" / BASELINE / name, keep_first_mask(clips[i].masks), clips.frame_names(i)
        )
    return [*runs, BASELINE]


def score(stage: Stage[Parameters], names: list[str]) -> dict[str, VOSScores]:
    """J and F of every system, from the saved masks alone."""
    p = stage.parameters
    truth = stage.inputs("data") / "vos" / p.split / "Annotations"
    scores = {name: score_folder(stage.out / "predictions" / name, truth, p.protocol) for name in names}
    form = {name: s.to_dict(per_frame=True) for name, s in scores.items()}
    (stage.out / "scores.json").write_text(json.dumps(form), encoding="utf-8")
    (stage.out / "settings.json").write_text(p.model_dump_json(indent=1), encoding="utf-8")
    stage.metrics(_metrics(stage, scores))
    return scores


def tables(stage: Stage[Parameters], scores: dict[str, VOSScores]) -> pd.DataFrame:
    """All systems, best first, with intervals and their distance to the learned rule."""
    labels = {name: title(name) for name in scores}
    table = systems_table(scores, labels, reference="learned", seed=stage.parameters.seed)
    stage.table("systems", table)
    return table


def figures(stage: Stage[Parameters], scores: dict[str, VOSScores]) -> dict[str, Figure]:
    """Rules, slots, differences, and J over time."""
    p = stage.parameters
    mean = {name: bootstrap_mean(s.column(), seed=p.seed) for name, s in scores.items()}
    rules = {title(n): mean[n] for n in mean if "@" not in n}
    slots = {k: mean["learned" if k == p.slots else f"learned@{k}"] for k in p.learned_slots}
    learned = _by_object(scores["learned"])
    gaps = {
        title(n): paired_difference(learned, _by_object(s), seed=p.seed)
        for n, s in scores.items()
        if n not in ("learned", BASELINE) and "@" not in n
    }
    curves = {
        title(n): [(o.frames, o.j) for o in scores[n].per_frame.values()]
        for n in ("learned", "first_and_previous", "every_n", BASELINE)
        if n in scores
    }
    drawn = {
        "rules": rules_figure(
            rules, highlight=title("learned"), baselines=[title("every_n"), title(BASELINE)]
        ),
        "differences": difference_figure(gaps, reference="learned"),
        "slots": slots_figure(
            slots, paper={int(k): (SLOTS.value(k, "J&F") or 0.0) / 100 for k in SLOTS.rows}
        ),
        "over_time": time_figure(curves, smooth=5),
        "strip": _strip(stage, scores),
    }
    for name, figure in drawn.items():
        stage.figure(name, figure)
    return drawn


def _by_object(scores: VOSScores) -> dict[str, float]:
    return {name: row["J&F-Mean"] for name, row in scores.objects.items()}


def _metrics(stage: Stage[Parameters], scores: dict[str, VOSScores]) -> dict[str, float]:
    out: dict[str, float] = {}
    for name, system in scores.items():
        interval = bootstrap_mean(system.column(), seed=stage.parameters.seed)
        key = name.replace("@", "_slots_")
        out |= {
            f"{key}.J&F": interval.mean,
            f"{key}.J&F_low": interval.low,
            f"{key}.J&F_high": interval.high,
            f"{key}.J": system.global_["J-Mean"],
            f"{key}.F": system.global_["F-Mean"],
        }
    return out


def _strip(stage: Stage[Parameters], scores: dict[str, VOSScores]) -> Figure:
    """The clip on which the learned rule is at its median, beside the truth and a baseline."""
    by_object = _by_object(scores["learned"])
    middle = sorted(by_object, key=lambda name: by_object[name])[len(by_object) // 2].rsplit("_", 1)[0]
    clips = ClipFolder(stage.inputs("data") / "vos" / stage.parameters.split)
    index = clips.names.index(middle)
    clip = clips[index]
    rows = {"truth": clip.masks}
    for name in ("learned", "first_and_previous", BASELINE):
        if name in scores:
            rows[title(name)] = _read(stage.out / "predictions" / name / middle, clips.frame_names(index))
    at = [round(i * (len(clip.masks) - 1) / 7) for i in range(8)]
    return segmentation_strip(
        clip.frames, rows, at=at, title=f"Masks on clip {middle} (median of the learned rule)"
    )


def _read(folder: Path, frames: list[str]) -> np.ndarray:
    return np.stack([read_ids(folder / f"{frame}.png") for frame in frames])
