"""Stage 7: what the memory keeps (STReMN Sec. 4.3, Figs. 5 and 6)."""

import json
import shutil
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from stremn.data import prepared
from stremn.data.annotated import Clips
from stremn.errors import InputError
from stremn.evaluation import traces as counting
from stremn.evaluation.distinctness import kept_distinctness, thumbnails
from stremn.figures import memory_figures as figures
from stremn.figures.memory_strips import around_strip, kept_strip
from stremn.memory import POLICIES, Trace
from stremn.settings import Settings
from stremn.stages.base import Stage

Traces = dict[str, dict[str, Trace]]


class Parameters(Settings):
    """Settings of the stage.

    Attributes:
        slots: K of the rules in the evaluation, and of the strips.
        learned_slots: numbers of slots of the learned rule (STReMN Fig. 5), K among them.
        rules: rules whose kept templates are compared with the learned one's.
        split: which clips.
        show: clips whose strips are drawn.
    """

    slots: int = 6
    learned_slots: list[int] = [4, 5, 6, 7]
    rules: list[str] = [name for name, entry in POLICIES.items() if entry.fixed and entry.unit == "slot"]
    split: str = "test"
    show: int = 2


def load(stage: Stage[Parameters]) -> Traces:
    """The traces that the evaluation left: for each run one of every clip. They are copied to this stage."""
    p, folder = stage.parameters, stage.inputs("evaluate_vos") / "traces"
    wanted = [*p.rules, *(_run(p, k) for k in p.learned_slots)]
    missing = [name for name in wanted if not (folder / name).is_dir()]
    if missing:
        raise InputError(
            f"expected traces of {', '.join(missing)} in {folder}, found none; evaluate these runs"
        )
    for name in dict.fromkeys(wanted):
        shutil.copytree(folder / name, stage.out / "traces" / name, dirs_exist_ok=True)
    for path in sorted((folder / "learned").glob("*.json")):
        stage.logger.artifact(path, "traces/learned")
    return {
        name: {path.stem: Trace.load(path) for path in sorted((folder / name).glob("*.json"))}
        for name in wanted
    }


def _run(p: Parameters, slots: int) -> str:
    """Name of the learned rule's run with a number of slots."""
    return "learned" if slots == p.slots else f"learned@{slots}"


def count(stage: Stage[Parameters], found: Traces) -> dict[str, Any]:
    """The numbers behind the figures, written to ``memory.json`` and summarised in the metrics."""
    p = stage.parameters
    learned = _plain(found["learned"])
    shares = {str(k): counting.distance_share(_plain(found[_run(p, k)])).tolist() for k in p.learned_slots}
    summary = {
        "distance_share": shares,
        "evictions_by_slot": counting.evictions_by_slot(learned).tolist(),
        "evictions_by_age": counting.evictions_by_age(learned).tolist(),
        "read_mass_by_role": counting.mass_by_role(learned),
        "distinctness": {rule: values.tolist() for rule, values in distinctness(stage, found).items()},
        "kept_at_end": {clip: counting.kept_at_end(t.to_dict()) for clip, t in found["learned"].items()},
    }
    (stage.out / "memory.json").write_text(json.dumps(summary), encoding="utf-8")
    metrics = {f"distinctness.{r}": float(np.nanmean(v)) for r, v in summary["distinctness"].items()}
    metrics |= {f"read_mass.{role}": value for role, value in summary["read_mass_by_role"].items()}
    share = np.array(shares[str(p.slots)]) if str(p.slots) in shares else np.zeros(1)
    metrics["share_older_than_10_frames"] = float(share[11:].sum())
    stage.metrics(metrics)
    return summary


def distinctness(stage: Stage[Parameters], found: Traces) -> dict[str, np.ndarray]:
    """How different the templates are that each rule keeps at the end of every clip."""
    clips = _clips(stage)
    names = clips.names
    descriptors = [thumbnails(clips[i].frames) for i in range(len(clips))]
    kept = {
        rule: [counting.kept_at_end(found[rule][name].to_dict()) for name in names]
        for rule in stage.parameters.rules
    }
    return kept_distinctness(kept, descriptors)


def draw_statistics(stage: Stage[Parameters], found: Traces, summary: dict[str, Any]) -> dict[str, Figure]:
    """Fig. 5 of the paper, evictions, and distinctness."""
    shares = {f"{k} slots": np.array(share) for k, share in summary["distance_share"].items()}
    varied = {POLICIES[rule].title: np.array(v) for rule, v in summary["distinctness"].items()}
    drawn = {
        "distance": figures.distance_figure(shares, title="How far back the learned memory reaches"),
        "evictions": figures.eviction_figure(_plain(found["learned"])),
        "distinctness": figures.distinctness_figure(varied, highlight=POLICIES["learned"].title),
    }
    return _kept(stage, drawn)


def draw_clips(stage: Stage[Parameters], found: Traces) -> dict[str, Figure]:
    """Fig. 6 of the paper for some clips: what was kept, for how long, and how it was read."""
    clips = _clips(stage)
    drawn: dict[str, Figure] = {}
    for index in range(min(stage.parameters.show, len(clips))):
        name, clip = clips.names[index], clips[index]
        trace = found["learned"][name].to_dict()
        kept = counting.kept_at_end(trace)
        drawn |= {
            f"{name}_kept": kept_strip(
                clip.frames, clip.masks, kept, title=f"Frames kept at the end of {name}"
            ),
            f"{name}_around": around_strip(clip.frames, clip.masks, kept, title=f"Kept frames within {name}"),
            f"{name}_lives": figures.lifetime_figure(trace),
            f"{name}_scores": figures.score_figure(trace),
            f"{name}_read_mass": figures.read_mass_figure(trace),
        }
    return _kept(stage, drawn)


def _plain(traces: dict[str, Trace]) -> list[dict[str, Any]]:
    return [trace.to_dict() for trace in traces.values()]


def _clips(stage: Stage[Parameters]) -> Clips:
    return prepared.clips(stage.inputs("data") / "vos" / stage.parameters.split)


def _kept(stage: Stage[Parameters], drawn: dict[str, Figure]) -> dict[str, Figure]:
    for name, figure in drawn.items():
        stage.figure(name, figure)
    return drawn
