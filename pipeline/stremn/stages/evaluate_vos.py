"""Stage 4: segment unseen clips with every rule, and score what was saved (STReMN Tables 1 and 2)."""

import json

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from stremn.data import prepared
from stremn.errors import InputError
from stremn.evaluation.baselines import keep_first_mask
from stremn.evaluation.bootstrap import bootstrap_mean, paired_difference
from stremn.evaluation.vos import VOSScores, score_folder
from stremn.figures.vos_figures import (
    capacity_figure,
    difference_figure,
    distribution_figure,
    rules_figure,
    slots_figure,
    time_figure,
)
from stremn.inference.folder import write_masks
from stremn.memory import POLICIES
from stremn.report.papers import SLOTS
from stremn.report.tables import seeds_table, systems_table
from stremn.settings import Settings
from stremn.stages import evaluation_pictures as pictures
from stremn.stages.base import Stage
from stremn.stages.runs import PREDICTIONS, Run, segment_runs

BASELINE = "first_mask"


class Parameters(Settings):
    """Settings of the stage.

    Attributes:
        seed: of the random rules and the bootstrap.
        device: where to segment.
        network: the network on which the rules are compared, by its name in the training stages.
        slots: K, the same for every rule with a fixed number of slots.
        rules: entries of ``memory.POLICIES``, run on that network.
        learned_slots: numbers of slots of the learned rule (STReMN Table 2).
        runs: everything else, by a name of its own; tables of the papers look for some names.
        seeds: networks that differ from ``network`` by the seed of their training alone; the rules run on each,
            as ``<network>:<rule>``, for the mean and deviation over seeds.
        every: period of STM's rule in frames.
        protocol: which frames and objects are scored, entry of ``evaluation.protocols``.
        batch: clips side by side.
        side: shorter side in pixels at which frames are looked at; None: as they come. Masks have their size.
        workers: runs side by side, each in a process of its own; 0: one after the other.
        split: which clips.
    """

    seed: int = 0
    device: str = "cpu"
    network: str = "stremn"
    slots: int = 6
    rules: list[str] = [name for name, entry in POLICIES.items() if entry.unit == "slot"]
    learned_slots: list[int] = [3, 4, 5, 6, 7]
    runs: dict[str, Run] = {}
    seeds: list[str] = []
    every: int = 5
    protocol: str = "procedural"
    batch: int = 6
    side: int | None = None
    workers: int = 0
    split: str = "test"


def all_runs(p: Parameters) -> dict[str, Run]:
    """The rules, the numbers of slots and the other runs, by name."""
    rules = {
        rule: Run(network=p.network, policy=rule, title=POLICIES[rule].title, trace=POLICIES[rule].fixed)
        for rule in p.rules
    }
    slots = {
        f"learned@{k}": Run(network=p.network, policy="learned", slots=k, trace=True)
        for k in p.learned_slots
        if k != p.slots
    }
    return {**rules, **slots, **p.runs, **_other_seeds(p)}


def title(p: Parameters, name: str) -> str:
    """What a system is called in tables and figures."""
    return "Keep the first mask" if name == BASELINE else all_runs(p)[name].heading()


def segment(stage: Stage[Parameters]) -> list[str]:
    """Write the masks of every run and of the baseline; returns the systems' names."""
    p = stage.parameters
    root, runs = stage.inputs("data") / "vos" / p.split, all_runs(p)
    weights = {name: stage.inputs(name) for name in ("pretrain", "finetune")}
    seconds = segment_runs(
        runs,
        root,
        weights,
        stage.out,
        slots=p.slots,
        every=p.every,
        batch=p.batch,
        device=p.device,
        seed=p.seed,
        side=p.side,
        workers=p.workers,
    )
    clips = prepared.clips(root)
    for i, name in enumerate(clips.names):
        write_masks(
            stage.out / PREDICTIONS / BASELINE / name, keep_first_mask(clips[i].masks), clips.frame_names(i)
        )
    titles = {name: title(p, name) for name in [*runs, BASELINE]}
    about = {**p.model_dump(mode="json"), "seconds_per_frame": seconds, "titles": titles}
    (stage.out / "settings.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
    return list(titles)


def score(stage: Stage[Parameters], names: list[str]) -> dict[str, VOSScores]:
    """J and F of every system, from the saved masks alone."""
    p = stage.parameters
    clips = prepared.clips(stage.inputs("data") / "vos" / p.split)
    if (truth := clips.annotations) is None:
        raise InputError(
            "expected one dataset to be scored, found several joined: name one for the test clips"
        )
    scores = {
        name: score_folder(stage.out / PREDICTIONS / name, truth, p.protocol, clips.names) for name in names
    }
    form = {name: s.to_dict(per_frame=True) for name, s in scores.items()}
    (stage.out / "scores.json").write_text(json.dumps(form), encoding="utf-8")
    stage.metrics(_metrics(stage, scores))
    return scores


def tables(stage: Stage[Parameters], scores: dict[str, VOSScores]) -> pd.DataFrame:
    """All systems, best first, with intervals and their distance to the learned rule."""
    p = stage.parameters
    labels = {name: title(p, name) for name in scores}
    table = systems_table(_one_seed(p, scores), labels, reference="learned", seed=p.seed)
    stage.table("systems", table)
    return table


def seeds(stage: Stage[Parameters], scores: dict[str, VOSScores]) -> pd.DataFrame | None:
    """The rules over several seeds of the training, rounded to be shown; None where the profile has one seed."""
    p = stage.parameters
    if not p.seeds:
        return None
    trained = [
        {rule: scores[before + rule] for rule in p.rules} for before in ("", *(f"{n}:" for n in p.seeds))
    ]
    table = seeds_table(trained, {rule: title(p, rule) for rule in p.rules}, reference="learned", seed=p.seed)
    stage.table("seeds", table)
    return table.round(1)


def figures(stage: Stage[Parameters], scores: dict[str, VOSScores]) -> dict[str, Figure]:
    """Rules, slots, differences, capacity, J over time and sorted, and a clip: its masks, where it is read."""
    p = stage.parameters
    scores = _one_seed(p, scores)
    label = {name: title(p, name) for name in scores}
    mean = {name: bootstrap_mean(s.column(), seed=p.seed) for name, s in scores.items()}
    rules = [name for name in (*p.rules, BASELINE) if name in mean]
    slots = {k: mean["learned" if k == p.slots else f"learned@{k}"] for k in p.learned_slots}
    learned = scores["learned"].by_object()
    gaps = {
        label[n]: paired_difference(learned, s.by_object(), seed=p.seed)
        for n, s in scores.items()
        if n not in ("learned", BASELINE)
    }
    chosen = [n for n in ("learned", "first_and_previous", "every_n", BASELINE) if n in scores]
    per_frame = {n: scores[n].per_frame.values() for n in chosen}
    shown = [n for n in ("learned", "first_and_previous", BASELINE) if n in scores]
    clip, object_id = pictures.median_object(scores["learned"])
    drawn = {
        "rules": rules_figure(
            {label[n]: mean[n] for n in rules},
            highlight=label["learned"],
            baselines=[label[n] for n in ("every_n", BASELINE) if n in label],
        ),
        "differences": difference_figure(gaps, reference="learned"),
        "slots": slots_figure(
            slots, paper={int(k): (SLOTS.value(k, "J&F") or 0.0) / 100 for k in SLOTS.rows}
        ),
        "over_time": time_figure(
            {label[n]: [(o.frames, o.j) for o in c] for n, c in per_frame.items()}, smooth=5
        ),
        "distribution": distribution_figure(
            {label[n]: np.concatenate([o.j for o in c]) for n, c in per_frame.items()}
        ),
        "strip": pictures.strip(stage, clip, {n: label[n] for n in shown}),
    }
    read = pictures.read(stage, all_runs(p)["learned"], clip, object_id)
    if read is not None:
        drawn["read"] = read
    on = "stcn:" if any(n.startswith("stcn:lfu@") for n in mean) else ""
    capacities = {int(n.partition("@")[2]): mean[n] for n in mean if n.startswith(f"{on}lfu@")}
    if capacities:
        lines = {
            label[on + n]: mean[on + n].mean for n in ("every_n", "first_and_previous") if on + n in mean
        }
        drawn["capacity"] = capacity_figure(capacities, lines)
    for name, figure in drawn.items():
        stage.figure(name, figure)
    return drawn


def _one_seed(p: Parameters, scores: dict[str, VOSScores]) -> dict[str, VOSScores]:
    """Without the rules on networks of other seeds, which have a table of their own."""
    others = _other_seeds(p)
    return {name: one for name, one in scores.items() if name not in others}


def _other_seeds(p: Parameters) -> dict[str, Run]:
    return {f"{n}:{rule}": Run(network=n, policy=rule) for n in p.seeds for rule in p.rules}


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
