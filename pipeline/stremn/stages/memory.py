"""Stage 7: what the memory keeps (STReMN Sec. 4.3, Figs. 5 and 6)."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from stremn.data import prepared
from stremn.data.annotated import Clips
from stremn.errors import InputError
from stremn.evaluation import traces as counting
from stremn.evaluation.distinctness import kept_distinctness, thumbnails
from stremn.evaluation.runs import ANY, Run, find, load_runs
from stremn.figures import memory_figures as figures
from stremn.figures.memory_strips import around_strip, kept_strip
from stremn.memory import POLICIES, Trace
from stremn.settings import Settings
from stremn.stages.base import Stage

Traces = dict[tuple[str, int], dict[str, Trace]]
"""(rule, number of slots) → clip → trace."""


class Parameters(Settings):
    """Settings of the stage."""

    network: str = "stremn"
    """On which the evaluation compared the rules."""
    slots: int | None = None
    """K of the rules in the evaluation, and of the strips."""
    learned_slots: list[int] = [4, 5, 6, 7]
    """Numbers of slots of the learned rule (STReMN Fig. 5); those that were not evaluated are left out."""
    rules: list[str] = [
        name for name, entry in POLICIES.items() if entry.fixed and entry.unit == "slot" and not entry.judged
    ]
    """Rules whose kept templates are compared with the learned one's; those not evaluated are left out."""
    split: str = "test"
    """Which clips."""
    show: int = 2
    """Clips whose strips are drawn."""


def load(stage: Stage[Parameters]) -> Traces:
    """The traces that the evaluation left: for each run one of every clip. They are copied to this stage."""
    folder = stage.inputs("evaluate_vos")
    runs = load_runs(folder / "runs.json")
    p = stage.parameters = _as_evaluated(stage.parameters, runs, folder)
    found: Traces = {}
    for policy, slots in _wanted(p):
        name = find(runs, network=p.network, policy=policy, slots=slots) or ""
        shutil.copytree(folder / "traces" / name, stage.out / "traces" / name)
        paths = sorted((folder / "traces" / name).glob("*.json"))
        found[policy, slots] = {path.stem: Trace.load(path) for path in paths}
        if (policy, slots) == ("learned", p.slots):
            for path in paths:
                stage.logger.artifact(path, f"traces/{name}")
    return found


def _wanted(p: Parameters) -> list[tuple[str, int]]:
    assert p.slots is not None
    pairs = [(rule, p.slots) for rule in p.rules] + [("learned", k) for k in (p.slots, *p.learned_slots)]
    return list(dict.fromkeys(pairs))


def _as_evaluated(p: Parameters, runs: Mapping[str, Run], folder: Path) -> Parameters:
    """The settings with the evaluation's K, and with what it has traces of; a line names the rest."""
    first = find(runs, network=p.network, policy="learned", slots=ANY)
    slots = p.slots or (None if first is None else runs[first].slots)

    def there(policy: str, k: int | None) -> bool:
        name = find(runs, network=p.network, policy=policy, slots=k) if k else None
        return name is not None and (folder / "traces" / name).is_dir()

    if not there("learned", slots):
        raise InputError(
            f"expected a run of {p.network} with the rule learned, {slots or p.slots or 'any number of'} slots and traces "
            f"in {folder}, found none; evaluate it"
        )
    rules = [rule for rule in p.rules if there(rule, slots)]
    sizes = [k for k in p.learned_slots if there("learned", k)]
    missing = [rule for rule in p.rules if rule not in rules]
    missing += [f"learned with {k} slots" for k in p.learned_slots if k not in sizes]
    if missing:
        print(f"not evaluated with {slots} slots and traces, left out: {', '.join(missing)}")
    return p.model_copy(update={"slots": slots, "rules": rules, "learned_slots": sizes})


def count(stage: Stage[Parameters], found: Traces) -> dict[str, Any]:
    """The numbers behind the figures, written to ``memory.json`` and summarised in the metrics."""
    p = stage.parameters
    own = found["learned", p.slots or 0]
    learned = _plain(own)
    shares = {str(k): counting.distance_share(_plain(found["learned", k])).tolist() for k in p.learned_slots}
    summary = {
        "distance_share": shares,
        "evictions_by_slot": counting.evictions_by_slot(learned).tolist(),
        "evictions_by_age": counting.evictions_by_age(learned).tolist(),
        "read_mass_by_role": counting.mass_by_role(learned),
        "distinctness": {rule: values.tolist() for rule, values in distinctness(stage, found).items()},
        "kept_at_end": {clip: counting.kept_at_end(t.to_dict()) for clip, t in own.items()},
    }
    (stage.out / "memory.json").write_text(json.dumps(summary), encoding="utf-8")
    metrics = {f"distinctness.{r}": float(np.nanmean(v)) for r, v in summary["distinctness"].items()}
    metrics |= {f"read_mass.{role}": value for role, value in summary["read_mass_by_role"].items()}
    metrics["share_older_than_10_frames"] = float(counting.distance_share(learned)[11:].sum())
    stage.metrics(metrics)
    return summary


def distinctness(stage: Stage[Parameters], found: Traces) -> dict[str, np.ndarray]:
    """How different the templates are that each rule keeps at the end of every clip."""
    clips = _clips(stage)
    names, slots = clips.names, stage.parameters.slots or 0
    descriptors = [thumbnails(clips[i].frames) for i in range(len(clips))]
    kept = {
        rule: [counting.kept_at_end(found[rule, slots][name].to_dict()) for name in names]
        for rule in stage.parameters.rules
    }
    return kept_distinctness(kept, descriptors)


def _title(stage: Stage[Parameters], rule: str) -> str:
    """What the evaluation called a rule, which may be one of a plugin."""
    p, runs = stage.parameters, load_runs(stage.inputs("evaluate_vos") / "runs.json")
    name = find(runs, network=p.network, policy=rule, slots=p.slots)
    return rule if name is None else runs[name].title or rule


def draw_statistics(stage: Stage[Parameters], found: Traces, summary: dict[str, Any]) -> dict[str, Figure]:
    """Fig. 5 of the paper, evictions, and distinctness."""
    shares = {f"{k} slots": np.array(share) for k, share in summary["distance_share"].items()}
    varied = {_title(stage, rule): np.array(v) for rule, v in summary["distinctness"].items()}
    drawn = {
        "distance": figures.distance_figure(shares, title="How far back the learned memory reaches"),
        "evictions": figures.eviction_figure(_plain(found["learned", stage.parameters.slots or 0])),
        "distinctness": figures.distinctness_figure(varied, highlight=_title(stage, "learned")),
    }
    _save(stage, drawn)
    return drawn


def draw_clips(stage: Stage[Parameters], found: Traces) -> dict[str, Figure]:
    """Fig. 6 of the paper for some clips: what was kept, for how long, how it was read; returns the first clip's."""
    clips, p = _clips(stage), stage.parameters
    first: dict[str, Figure] = {}
    for index in range(min(p.show, len(clips))):
        name, clip = clips.names[index], clips[index]
        trace = found["learned", p.slots or 0][name].to_dict()
        kept = counting.kept_at_end(trace)
        title = f"Frames kept at the end of {name}"
        drawn = {
            "kept": kept_strip(clip.frames, clip.masks, kept, title=title),
            "around": around_strip(clip.frames, clip.masks, kept, title=f"Kept frames within {name}"),
            "lives": figures.lifetime_figure(trace),
            "scores": figures.score_figure(trace),
            "read_mass": figures.read_mass_figure(trace),
        }
        _save(stage, {f"{name}_{what}": figure for what, figure in drawn.items()})
        first = first or drawn
    return first


def _plain(traces: dict[str, Trace]) -> list[dict[str, Any]]:
    return [trace.to_dict() for trace in traces.values()]


def _clips(stage: Stage[Parameters]) -> Clips:
    return prepared.clips(stage.inputs("data") / "vos" / stage.parameters.split)


def _save(stage: Stage[Parameters], drawn: dict[str, Figure]) -> None:
    for name, figure in drawn.items():
        stage.figure(name, figure)
