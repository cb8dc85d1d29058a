"""Stage 4: segment unseen clips with every rule, and score what was saved (STReMN Tables 1 and 2)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from stremn.data import prepared
from stremn.data.appearances import truths_of
from stremn.errors import InputError
from stremn.evaluation.baselines import keep_first_mask
from stremn.evaluation.runs import ANY, Compared, Run, compare, find, save_runs, select
from stremn.evaluation.vos import score_folder
from stremn.figures.vos_figures import (
    capacity_figure,
    difference_figure,
    distribution_figure,
    rules_figure,
    slots_figure,
    time_figure,
)
from stremn.inference.folder import write_masks
from stremn.inference.oracle import ORACLE, TITLE
from stremn.inference.plugin import load_plugin, note_of
from stremn.memory import POLICIES
from stremn.memory.policies import policy_entry
from stremn.models.checkpoints import load_model
from stremn.models.vos import as_vos
from stremn.report.papers import TABLES
from stremn.report.report_tables import BASELINE, FEATURES, LABELS
from stremn.report.tables import seeds_table, systems_table
from stremn.stages import evaluation_pictures as pictures
from stremn.stages.base import Computing, Stage
from stremn.stages.runs import (
    PREDICTIONS,
    TRUTH,
    clips_place,
    heading,
    log_compared,
    network_file,
    note_own_clips,
    own_side,
    segment_runs,
)
from stremn.tasks.rules import usable_rules


class Parameters(Computing):
    """Settings of the stage."""

    seed: int = 0
    """Of the random rules and the bootstrap."""
    network: str = "stremn"
    """The network on which the rules are compared, by its name in the training stages."""
    slots: int = 6
    """K, the same for every rule with a fixed number of slots."""
    rules: list[str] = [name for name, entry in POLICIES.items() if entry.unit == "slot" and not entry.judged]
    """Entries of ``memory.POLICIES``, run on that network."""
    learned_slots: list[int] = [3, 4, 5, 6, 7]
    """Numbers of slots of the learned rule (STReMN Table 2)."""
    oracle: bool = False
    """Run Belady's rule besides, which sees the truth, on clips that know their appearances (``kind: recurring``)."""
    plugin: str | None = None
    """Python file with rules of one's own, or a folder of such, below the repository's root or absolute. They run
    beside ``rules``; see ``inference.plugin``."""
    runs: dict[str, Run] = {}
    """Everything else, by a name of its own; tables of the papers find runs by their fields."""
    seeds: list[str] = []
    """Networks that differ from ``network`` by the seed of their training alone; the rules run on each, as
    ``<network>:<rule>``, for the mean and deviation over seeds."""
    every: int = 5
    """Period of STM's rule in frames."""
    protocol: str = "procedural"
    """Which frames and objects are scored, entry of ``evaluation.protocols``."""
    batch: int = 6
    """Clips side by side."""
    side: int | None = None
    """Shorter side in pixels at which frames are processed; None: native size. Masks have the native size."""
    workers: int = 0
    """Runs side by side, each in a process of its own; 0: one after the other."""
    split: str = "test"
    """Which clips."""
    data: str | None = None
    """Folder of clips to segment in place of the profile's, of ``stremn run evaluate_vos --data``; in
    ``params.yaml`` a dataset belongs to the stage ``data``."""


def with_own_rules(p: Parameters, root: Path) -> Parameters:
    """The settings with the plugin's rules among ``rules``; from then on ``POLICIES`` has them."""
    if p.plugin is None:
        return p
    own = load_plugin(root / p.plugin)
    taken = sorted({*own} & {*p.runs, BASELINE, ORACLE})
    if taken:
        raise InputError(
            f"expected a rule in {p.plugin} with a name that no run has, found {taken[0]!r}: rename it"
        )
    return p.model_copy(update={"rules": list(dict.fromkeys([*p.rules, *own]))})


def with_own_data(p: Parameters, stage: Stage[Any]) -> Parameters:
    """The settings for clips of one's own: the rules alone, every object scored, at a size that fits the network."""
    if p.data is None:
        return p
    network = network_file(stage, Run(network=p.network))
    usable = usable_rules(as_vos(load_model(network)[0]))
    if missing := [rule for rule in p.rules if rule in POLICIES and rule not in usable]:
        print(f"left out: {', '.join(missing)}, which the network cannot use")
    return p.model_copy(
        update={
            "rules": [rule for rule in p.rules if rule not in missing],
            "runs": {},
            "oracle": False,
            "seeds": [],
            "learned_slots": [p.slots],
            "protocol": "procedural",
            "side": own_side(Path(p.data), network, p.side),
        }
    )


def check(p: Parameters, root: Path, profile: str) -> None:
    """What the settings name is there and can be used; InputError in one line before anything is computed."""
    if "learned" not in p.rules:
        raise InputError(
            f"expected 'learned' among the rules, with which all are compared, found {', '.join(p.rules)}: add it"
        )
    with_own_data(p, Stage("evaluate_vos", profile, p, root, root))
    for run in all_runs(with_own_rules(p, root)).values():
        if run.policy != ORACLE:
            policy_entry(run.policy or "learned")


def all_runs(p: Parameters) -> dict[str, Run]:
    """The rules, the numbers of slots, the other runs and the rules on other seeds, by name; titles and slots set."""
    entries = {rule: policy_entry(rule) for rule in p.rules}
    rules = {
        rule: Run(network=p.network, policy=rule, title=entry.title, trace=entry.fixed)
        for rule, entry in entries.items()
    }
    slots = {
        f"learned@{k}": Run(network=p.network, policy="learned", slots=k, trace=True)
        for k in p.learned_slots
        if k != p.slots
    }
    oracle = {ORACLE: Run(network=p.network, policy=ORACLE, title=TITLE)} if p.oracle else {}
    return {
        name: run.model_copy(update={"slots": run.slots or p.slots, "title": heading(run)})
        for name, run in {**rules, **oracle, **slots, **p.runs, **_other_seeds(p)}.items()
    }


def segment(stage: Stage[Parameters]) -> list[str]:
    """Write the masks of every run and of the baseline; returns the systems' names."""
    p = stage.parameters = with_own_rules(with_own_data(stage.parameters, stage), stage.root)
    if p.data is not None:
        note_own_clips(stage)
    root, runs = clips_place(stage), all_runs(p)
    weights = {name: network_file(stage, run) for name, run in runs.items() if run.postprocess is None}
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
        plugin=None if p.plugin is None else note_of(stage.root / p.plugin),
    )
    clips = prepared.clips(root)
    for i, name in enumerate(clips.names):
        write_masks(
            stage.out / PREDICTIONS / BASELINE / name, keep_first_mask(clips[i].masks), clips.frame_names(i)
        )
    runs[BASELINE] = Run(network="", policy=BASELINE, slots=0, title=LABELS[BASELINE])
    save_runs(runs, stage.out / "runs.json")
    titles = {name: run.title for name, run in runs.items()}
    about = {**p.model_dump(mode="json"), "seconds_per_frame": seconds, "titles": titles}
    (stage.out / "settings.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
    return list(runs)


def score(stage: Stage[Parameters], names: list[str]) -> dict[str, Compared]:
    """J and F of every system, from the saved masks alone, and every interval, each computed here only."""
    p = stage.parameters
    clips = prepared.clips(clips_place(stage))
    truth = clips.annotations if p.data is None else stage.out / TRUTH
    if truth is None:
        raise InputError(
            "expected one dataset to be scored, found several joined: name one for the test clips"
        )
    scores = {
        name: score_folder(stage.out / PREDICTIONS / name, truth, p.protocol, clips.names) for name in names
    }
    shown = None
    if p.oracle:
        shown = {name: one.shown for name, one in zip(clips.names, truths_of(clips), strict=True)}
    compared = compare(scores, "learned", p.seed, oracle=ORACLE, base="first_and_previous", shown=shown)
    form = {name: one.to_dict() for name, one in compared.items()}
    (stage.out / "scores.json").write_text(json.dumps(form), encoding="utf-8")
    log_compared(stage, compared, _titles(p))
    return compared


def tables(stage: Stage[Parameters], compared: dict[str, Compared]) -> pd.DataFrame:
    """All systems, best first, with intervals and their distance to the learned rule."""
    p = stage.parameters
    table = systems_table(_one_seed(p, compared), _titles(p))
    stage.table("systems", table)
    return table


def seeds(stage: Stage[Parameters], compared: dict[str, Compared]) -> pd.DataFrame | None:
    """The rules over several seeds of the training, rounded to be shown; None where the profile has one seed."""
    p = stage.parameters
    if not p.seeds:
        return None
    trained = [
        {rule: compared[f"{n}:{rule}" if n in p.seeds else rule].scores for rule in _on_every_seed(p)}
        for n in (p.network, *p.seeds)
    ]
    table = seeds_table(
        trained, _titles(p), reference="learned", oracle=ORACLE, base="first_and_previous", seed=p.seed
    )
    stage.table("seeds", table)
    return table.round(1)


def figures(stage: Stage[Parameters], compared: dict[str, Compared]) -> dict[str, Figure]:
    """Rules, differences, slots, capacity, J over time and sorted, and a clip: its masks, where it is read."""
    p, runs, label = stage.parameters, all_runs(stage.parameters), _titles(stage.parameters)
    shown = _one_seed(p, compared)
    rules = [name for name in (*p.rules, BASELINE) if name in shown]
    slots = {k: find(runs, network=p.network, policy="learned", slots=k) for k in p.learned_slots}
    gaps = {label[n]: one.behind for n, one in shown.items() if one.behind is not None and n != BASELINE}
    chosen = [n for n in ("learned", "first_and_previous", "every_n", BASELINE) if n in shown]
    per_frame = {label[n]: list(shown[n].scores.per_frame.values()) for n in chosen}
    paper = TABLES["stremn-2"]
    clip, object_id = pictures.median_object(shown["learned"].scores)
    drawn = {
        "rules": rules_figure(
            {label[n]: shown[n].mean for n in rules},
            highlight=label["learned"],
            baselines=[label[n] for n in ("every_n", BASELINE) if n in shown],
        ),
        "differences": difference_figure(gaps, reference="learned"),
        "slots": slots_figure(
            {k: shown[name].mean for k, name in slots.items() if name is not None},
            paper={int(k): (paper.value(k, "J&F") or 0.0) / 100 for k in paper.rows},
        ),
        "over_time": time_figure({n: [(o.frames, o.j) for o in c] for n, c in per_frame.items()}, smooth=5),
        "distribution": distribution_figure(
            {n: np.concatenate([o.j for o in c]) for n, c in per_frame.items()}
        ),
        "strip": pictures.strip(stage, clip, {n: label[n] for n in chosen if n != "every_n"}),
        "read": pictures.read(stage, runs["learned"], clip, object_id),
        "capacity": _capacity(p, shown),
    }
    found = {name: figure for name, figure in drawn.items() if figure is not None}
    for name, figure in found.items():
        stage.figure(name, figure)
    return found


def _capacity(p: Parameters, compared: dict[str, Compared]) -> Figure | None:
    """AMM Fig. 6 on STCN where the profile has it, else on the main network; None without runs of the rule lfu."""
    runs = all_runs(p)
    for network in (FEATURES, p.network):
        sizes = select(runs, network=network, policy="lfu", slots=ANY, options=ANY)
        if sizes:
            lines = [
                find(runs, network=network, policy=n, slots=ANY) for n in ("every_n", "first_and_previous")
            ]
            return capacity_figure(
                {runs[name].slots or 0: compared[name].mean for name in sizes},
                {_titles(p)[name]: compared[name].mean.mean for name in lines if name is not None},
            )
    return None


def _titles(p: Parameters) -> dict[str, str]:
    """What each run and the baseline is called in tables and figures."""
    return {**{name: str(run.title) for name, run in all_runs(p).items()}, BASELINE: LABELS[BASELINE]}


def _one_seed(p: Parameters, compared: dict[str, Compared]) -> dict[str, Compared]:
    """Without the rules on networks of other seeds, which have a table of their own."""
    others = _other_seeds(p)
    return {name: one for name, one in compared.items() if name not in others}


def _other_seeds(p: Parameters) -> dict[str, Run]:
    return {f"{n}:{rule}": Run(network=n, policy=rule) for n in p.seeds for rule in _on_every_seed(p)}


def _on_every_seed(p: Parameters) -> list[str]:
    return [*p.rules, *([ORACLE] if p.oracle else [])]
