"""Every system by name: rules for networks, runs side by side, our numbers in the papers' tables."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from stremn import paths
from stremn.cli import main
from stremn.data.clips import Clip, read_mask, write_clip
from stremn.data.prepared import Source, write_source
from stremn.errors import InputError
from stremn.evaluation.bootstrap import Interval, bootstrap_mean
from stremn.evaluation.runs import ANY, Run, compare, find, load_runs, save_runs, select
from stremn.evaluation.sequences import ObjectScores
from stremn.evaluation.vos import VOSScores
from stremn.memory import POLICIES, Trace
from stremn.models.checkpoints import load_model, load_shared, load_weights, save_model, shipped_checkpoint
from stremn.models.registry import PREDICTORS, SYSTEMS, build_model
from stremn.models.stcn import STCN
from stremn.models.stm import STM
from stremn.models.stremn import STReMN
from stremn.report.claims import FAILS, HOLDS, OPEN, cost_claims, counted, rule_claims
from stremn.report.papers import TABLES
from stremn.report.report_tables import (
    LABELS,
    PREDICTION,
    RULES_AND_SLOTS,
    STM_AND_AMM,
    SYSTEMS_AND_TRAINING,
    ReportTable,
    Results,
)
from stremn.report.tables import with_paper
from stremn.stages import evaluate_vos, pretrain
from stremn.stages.base import Stage
from stremn.stages.pretrain import System
from stremn.stages.runs import heading, segment_runs
from stremn.tasks.rules import policy_for
from stremn.training.loop import Plan

FIELDS = {"backbone": "tiny", "key_dim": 8, "value_dim": 8, "update_dim": 8, "decoder_dims": [8, 8, 8]}


def test_a_network_brings_its_own_rule() -> None:
    assert [policy_for(n).name for n in (STReMN, STM, STCN)] == ["learned", "every_n", "every_n"]
    assert policy_for(STM).keep_latest and not policy_for(STCN).keep_latest
    assert policy_for(STCN, "lfu", slots=3, every=2).slots == 3


@pytest.mark.parametrize("name", ["learned", "learned_features"])
def test_rules_on_update_keys_need_update_keys(name: str) -> None:
    with pytest.raises(InputError, match=f"needs no update keys, found '{name}': STM has none"):
        policy_for(STM, name)


def test_the_command_lists_everything(capsys, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["systems"]) == 0
    text = capsys.readouterr().out
    rows = {line.split()[0] for line in text.splitlines() if line.strip()}
    assert rows >= {*SYSTEMS, *POLICIES, *PREDICTORS, "stremn-ms", "amm"}


# --- runs


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_model(
        paths.network(tmp_path / "finetune", "stremn"),
        build_model("stremn", FIELDS),
        {"system": "stremn", "fields": FIELDS},
    )
    return paths.network(tmp_path / "finetune", "stremn")


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        frames = rng.integers(0, 255, (5, 32, 32, 3), dtype=np.uint8)
        masks = np.zeros((5, 32, 32), np.uint8)
        masks[:, 4:16, 6:20] = 1
        write_clip(tmp_path / "clips", Clip(name, frames, masks, 1))
    write_source(tmp_path / "clips", Source(dataset="clips", split="clips"))
    return tmp_path / "clips"


def test_runs_side_by_side_equal_runs_in_a_row(tmp_path: Path, trained: Path, clips: Path) -> None:
    runs = {
        "learned": Run(policy="learned", trace=True),
        "lfu@2": Run(policy="lfu", slots=2, options={"every": 1}),
        "ms": Run(scales=[1.0, 1.25], flip=True),
        "post": Run(postprocess="ms"),
    }
    settings = {"slots": 3, "every": 5, "batch": 2, "device": "cpu", "seed": 0}
    weights = dict.fromkeys(runs, trained)
    torch.set_num_threads(1)
    row = segment_runs(runs, clips, weights, tmp_path / "row", **settings)  # type: ignore[arg-type]
    side = segment_runs(runs, clips, weights, tmp_path / "side", **settings, workers=2)  # type: ignore[arg-type]
    assert set(row) == set(side) == {"learned", "lfu@2", "ms"} and min(row.values()) > 0
    first, second = (
        {
            p.relative_to(tmp_path / way / "predictions").as_posix(): read_mask(p)
            for p in (tmp_path / way).rglob("*.png")
        }
        for way in ("row", "side")
    )
    assert len(first) == 4 * 2 * 5 and first.keys() == second.keys()
    assert all((first[name] == second[name]).all() for name in first)
    traces = [Trace.load(tmp_path / way / "traces" / "learned" / "a.json") for way in ("row", "side")]
    assert traces[0].steps == traces[1].steps and traces[0].about == {
        "rule": "learned",
        "slots": 3,
        "clip": "a",
    }
    assert any((first[f"learned/a/{t:05d}.png"] != first[f"ms/a/{t:05d}.png"]).any() for t in range(5))


def test_headings_name_rule_slots_and_network() -> None:
    assert (
        heading(Run(policy="lfu", slots=2, network="stcn")) == "AMM, least frequently used, 2 frames (stcn)"
    )
    assert heading(Run(policy="oldest", title="A")) == "A"


def test_runs_are_selected_by_their_fields(tmp_path: Path) -> None:
    runs = {
        "any name": Run(policy="learned", slots=6),
        "early": Run(policy="learned", slots=6, trained="pretrain"),
        "several passes": Run(policy="learned", slots=6, flip=True),
        "per object": Run(policy="learned", slots=6, options={"per_object": True}),
        "few": Run(policy="learned", slots=2, title="Few", trace=True),
    }
    save_runs(runs, tmp_path / "runs.json")
    assert load_runs(tmp_path / "runs.json") == runs
    assert select(runs, policy="learned", slots=6) == ["any name"]
    assert select(runs, policy="learned", slots=ANY) == ["any name", "few"]
    assert find(runs, policy="learned", slots=6, options=ANY, trained="pretrain") == "early"
    assert find(runs, policy="learned", slots=6, network="stcn") is None
    with pytest.raises(InputError, match="evaluate first"):
        load_runs(tmp_path / "none.json")


# --- the papers' tables


def scores(j: float, f: float) -> VOSScores:
    frames = np.arange(1, 5)
    return VOSScores("procedural", {"clip_1": ObjectScores(frames, np.full(4, j), np.full(4, f))})


SEGMENTATION = {table.key: table for table in (*RULES_AND_SLOTS, *SYSTEMS_AND_TRAINING, *STM_AND_AMM)}


def results(runs: dict[str, tuple[Run, VOSScores]], **more: object) -> Results:
    """What the report reads of runs and their scores; slots: 6."""
    compared = compare({name: one for name, (_, one) in runs.items()}, next(iter(runs)))
    made = {name: run.model_copy(update={"slots": run.slots or 6}) for name, (run, _) in runs.items()}
    return Results(made, {name: one.to_dict() for name, one in compared.items()}, slots=6, **more)  # type: ignore[arg-type]


def test_every_table_of_the_papers_is_in_the_report() -> None:
    assert sorted([*SEGMENTATION, PREDICTION.key]) == sorted(TABLES)


def test_our_numbers_join_the_papers_rows() -> None:
    ours = results(
        {
            "a": (Run(policy="learned"), scores(0.6, 0.8)),
            "b": (Run(policy="learned", slots=3), scores(0.5, 0.5)),
            "c": (Run(network="stcn", policy="lfu", slots=2), scores(0.3, 0.5)),
        },
        seconds={"a": 0.5},
    )
    assert SEGMENTATION["stremn-1"].ours(ours)["learned"]["J&F"] == pytest.approx(70)
    assert {k: row["J&F"] for k, row in SEGMENTATION["stremn-2"].ours(ours).items()} == pytest.approx(
        {"3": 50, "6": 70}
    )
    assert SEGMENTATION["amm-1-2017"].ours(ours)["lfu"]["J&F"] == pytest.approx(40)
    assert SEGMENTATION["amm-1-2016"].ours(ours) == {}
    of_2016 = replace(ours, protocol="davis2016", seconds={"other": 1.0, "c": 0.1})
    assert SEGMENTATION["amm-1-2016"].ours(of_2016)["lfu"]["J&F"] == pytest.approx(40)
    assert SEGMENTATION["amm-3"].ours(of_2016) == {"lfu": {"frames/s": 10}}


def test_every_system_finds_its_row() -> None:
    ours = results(
        {
            "learned": (Run(policy="learned"), scores(0.6, 0.6)),
            "both ways": (Run(scales=[1.0, 1.25], flip=True), scores(0.7, 0.7)),
            "mirrored alone": (Run(flip=True), scores(0.9, 0.9)),
            "early": (Run(policy="learned", trained="pretrain"), scores(0.2, 0.2)),
            "fused": (Run(network="stremn-fusion"), scores(0.5, 0.5)),
            "not fused": (Run(network="stremn-fusion", options={"fusion": "none"}), scores(0.4, 0.4)),
            "stcn": (Run(network="stcn"), scores(0.3, 0.3)),
            "no network": (Run(network="", policy="first_mask"), scores(0.1, 0.1)),
        }
    )

    def means(table: ReportTable) -> dict[str, float]:
        return {key: round(row["J&F"] or 0) for key, row in table.ours(ours).items()}

    assert means(SEGMENTATION["stremn-1"]) == {"learned": 60, "first_mask": 10}
    assert means(SEGMENTATION["stremn-3"]) == {"stcn": 30, "stremn": 60, "stremn-ms": 70}
    assert means(SEGMENTATION["stremn-6"]) == {"fusion": 50, "no-fusion": 40}
    assert means(SEGMENTATION["stm-4"]) == {"pretraining": 20, "both": 60}
    assert means(SEGMENTATION["amm-5"]) == {"stcn": 30}


def test_the_report_shows_the_intervals_of_the_evaluation() -> None:
    objects = {f"clip_{n}": ObjectScores(np.arange(1, 5), *np.full((2, 4), n / 9)) for n in range(9)}
    compared = compare({"learned": VOSScores("procedural", objects)}, "learned", seed=5)
    ours = Results(
        {"learned": Run(policy="learned", slots=6)}, {"learned": compared["learned"].to_dict()}, slots=6
    )
    row, mean = SEGMENTATION["stremn-1"].ours(ours)["learned"], compared["learned"].mean
    assert (row["low"], row["high"]) == (100 * mean.low, 100 * mean.high)
    assert mean != bootstrap_mean(compared["learned"].scores.column(), seed=0)


def test_an_empty_cell_says_why() -> None:
    ours = results({"learned": (Run(policy="learned"), scores(0.6, 0.8))})
    missing = SEGMENTATION["stremn-3"].missing(ours)
    assert "STM, STCN: not trained in this profile" in missing
    assert "KMN, EGM, CFBI, RMNet, LCM: not a system of this project." in missing
    everything = results({n: (Run(policy=n), scores(0.5, 0.5)) for n in TABLES["stremn-1"].rows})
    assert SEGMENTATION["stremn-1"].missing(everything) == ""


def test_sequences_have_the_deviation_over_slots() -> None:
    ours = results({f"{k}": (Run(policy="learned", slots=k), scores(k / 10, 0)) for k in (2, 3, 6)})
    (row,) = SEGMENTATION["stremn-earlier-11"].ours(ours).values()
    assert row == pytest.approx(
        {"2 slots": 0.2, "3 slots": 0.3, "6 slots": 0.6, "σ": np.std([0.2, 0.3, 0.6])}
    )


# --- profiles


def test_networks_that_start_from_the_package_fit_its_weights() -> None:
    blocks = yaml.safe_load((Path(__file__).parents[1] / "params.yaml").read_text(encoding="utf-8"))
    systems = [s for block in blocks.values() for s in block.get("pretrain", {}).get("systems", {}).values()]
    starting = [entry for entry in systems if entry.get("start") == "shipped"]
    assert starting
    shipped = load_model(shipped_checkpoint())[0].state_dict()
    for entry in starting:
        load_weights(build_model(entry.get("system", "stremn"), entry["fields"]), shipped, "the package")


def test_a_variant_takes_what_it_shares_with_another_network() -> None:
    torch.manual_seed(0)
    source, variant = build_model("stremn", FIELDS), build_model("stremn", {**FIELDS, "update_age": True})
    before = {name: tensor.clone() for name, tensor in variant.state_dict().items()}
    kept = load_shared(variant, source.state_dict(), "stremn")
    after = variant.state_dict()
    assert kept and set(kept) == after.keys() - source.state_dict().keys()
    assert all(torch.equal(after[name], before[name]) for name in kept)
    assert all(torch.equal(after[name], tensor) for name, tensor in source.state_dict().items())
    with pytest.raises(InputError, match="found none"):
        load_shared(variant, {"other": torch.zeros(1)}, "other")


# --- starts and seeds


def training(
    root: Path, seeds: dict[str, int] | None = None, **systems: System
) -> Stage[pretrain.Parameters]:
    parameters = pretrain.Parameters(plan=Plan(steps=1), systems=systems, seeds=seeds or {})
    return Stage("pretrain", "x", parameters, root, root)


def test_a_start_that_will_not_be_there_is_told_before_the_work(tmp_path: Path) -> None:
    later = training(tmp_path, a=System(start="b"), b=System())
    with pytest.raises(InputError, match=r"systems.a.start: expected .*\(none\).*found 'b': correct it"):
        pretrain.train(later, None)  # type: ignore[arg-type]


def test_clips_of_the_curve_are_drawn_with_the_seed_of_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []

    class Sampler:
        def __init__(self, *_: object, seed: int, **__: object) -> None:
            drawn.append(seed)

        def batch(self, step: int) -> int:
            return step

    (paths.output(tmp_path, "x", "data") / "static").mkdir(parents=True)
    monkeypatch.setattr(pretrain, "ImageClipSampler", Sampler)
    monkeypatch.setattr(pretrain.prepared, "images", lambda place: None)
    monkeypatch.setattr(pretrain, "train_networks", lambda *_: None)
    pretrain.train(training(tmp_path, a=System()), None)  # type: ignore[arg-type]
    pretrain.train(training(tmp_path, {"b": 1, "c": 2}, a=System(), b=System(), c=System()), None)  # type: ignore[arg-type]
    assert drawn == [1, 3]


def test_rules_on_other_seeds_have_a_table_of_their_own(tmp_path: Path) -> None:
    p = evaluate_vos.Parameters(
        rules=["learned", "oldest"], learned_slots=[], seeds=["b"], runs={"b": Run(network="b", title="Own")}
    )
    found = {"learned": 0.6, "oldest": 0.5, "b:learned": 0.8, "b:oldest": 0.4, "b": 0.1}
    assert set(found) == set(evaluate_vos.all_runs(p))
    stage = Stage("evaluate_vos", "x", p, tmp_path, tmp_path)
    results = compare({name: scores(j, j) for name, j in found.items()}, "learned")
    assert len(evaluate_vos.tables(stage, results)) == 3  # the run that is named like the network too
    table = evaluate_vos.seeds(stage, results)
    assert table is not None and table["mean"].tolist() == [70, 45] and table["behind"].tolist()[1] == 25
    assert evaluate_vos.seeds(Stage("e", "x", evaluate_vos.Parameters(), tmp_path, tmp_path), {}) is None


# --- the claims on top of the report


def _compared(behind: tuple[float, float, float] | None) -> dict[str, Any]:
    names = ("mean", "low", "high", "objects")
    gap = None if behind is None else dict(zip(names, (*behind, 9), strict=True))
    return {"interval": {"J&F": dict(zip(names, (0.5, 0.4, 0.6, 9), strict=True)), "behind": gap}}


def test_one_training_establishes_no_order_and_several_may() -> None:
    runs = {
        "learned": Run(policy="learned", slots=6),
        **{rule: Run(policy=rule, slots=6) for rule in ("oldest", "newest", "every_n")},
        "learned@4": Run(policy="learned", slots=4),
    }
    gaps = {"learned": None, "oldest": (0.05, 0.02, 0.08), "newest": (-0.04, -0.06, -0.01)}
    ours = Results(runs, {n: _compared(gaps.get(n, (0.01, -0.02, 0.03))) for n in runs}, slots=6)
    once = {claim.text: claim for claim in rule_claims(ours, {})}
    assert {claim.verdict for claim in once.values()} == {OPEN} and len(once) == 4
    oldest = once["The learned rule is better than removing the oldest (Table 1)"]
    assert oldest.found == "+5.0 J&F (+2.0 to +8.0); one training: order not established"
    means = {n: Interval(*gap, 9) for n, gap in gaps.items() if gap} | {
        "every_n": Interval(-0.1, -0.2, -0.05, 9)
    }
    verdicts = [claim.verdict for claim in rule_claims(ours, means)]
    assert verdicts == [HOLDS, FAILS, FAILS, OPEN]  # oldest, newest, as good as STM, numbers of slots
    assert counted(rule_claims(ours, means)) == "1 holds, 2 does not hold, 1 not established here."


@pytest.mark.parametrize(
    ("growth", "verdict"),
    [
        ({"learned.slots": 6, "learned.time_ratio": 1.02, "learned.resident_ratio": 1.0}, HOLDS),
        ({"learned.slots": 6, "learned.time_ratio": 1.5, "learned.resident_ratio": 1.0}, FAILS),
        ({"learned.slots": 9}, FAILS),
        ({"learned.slots": 6}, OPEN),
    ],
)
def test_a_constant_cost_is_measured(growth: dict[str, float], verdict: str) -> None:
    (claim,) = cost_claims(growth, 6)
    assert claim.verdict == verdict and "slots at the end" in claim.found


def test_numbers_of_slots_are_in_order() -> None:
    rows = {str(k): {"J&F": float(k)} for k in (10, 2, 6)}
    assert list(with_paper(TABLES["stremn-2"], rows, LABELS).index)[:1] == ["2 slots"]
    assert list(with_paper(TABLES["stremn-2"], rows, LABELS)[("ours", "J&F")]) == [2, 6, 10]
