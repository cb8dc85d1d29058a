"""Our numbers in the rows of the papers' tables, and for each empty cell the reason.

A run of the evaluation is found by its fields: network, rule, number of slots, how it was trained and tested.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stremn.evaluation.runs import ANY, Run, find, select
from stremn.report.papers import TABLES, PaperTable

Rows = dict[str, dict[str, float | None]]
OTHER = "not a system of this project"
NOT_RUN = "not run in this profile"
ELSEWHERE = "not trained in this profile; the profile “systems” trains it"
NO_DATA = "its data are not part of this profile"
BASELINE = "first_mask"  # the rule of the run without a network
FEATURES = "stcn"  # the network of AMM's tables, where a profile has it
LABELS = {
    BASELINE: "Keep the first mask",
    "every_n": "STM, every N frames",
    "first": "First frame only",
    "previous": "Previous frame only",
    **{str(k): f"{k} slots" for k in range(2, 12)},
}


@dataclass(frozen=True)
class Results:
    """What the evaluation stages left.

    Attributes:
        runs: name → how it was made.
        scores: name → its block of ``scores.json``.
        network: the one on which the rules were compared.
        slots: K of the rules.
        protocol: with which they were scored; it tells DAVIS 2016 from 2017.
        seconds: per frame of each run.
        prediction: system → metric → value.
    """

    runs: Mapping[str, Run] = field(default_factory=dict)
    scores: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    network: str = "stremn"
    slots: int = 0
    protocol: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    prediction: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)

    def rule(self, policy: str) -> str | None:
        """The run of a rule on the main network."""
        if policy == BASELINE:
            return find(self.runs, network="", policy=policy, slots=ANY)
        return find(self.runs, network=self.network, policy=policy, slots=self.slots)

    def learned(self, slots: int, **fields: Any) -> str | None:
        """The run of the learned rule with a number of slots."""
        return find(self.runs, **{"network": self.network, "policy": "learned", "slots": slots, **fields})

    def amm(self, policy: str) -> str | None:
        """The run of a rule of AMM's tables on STCN where the profile has it, else on the main network.

        Rules of single features keep two frames' worth of them.
        """
        slots = 2 if policy.startswith("lfu") else ANY
        places = (FEATURES, self.network)
        found = (find(self.runs, network=n, policy=policy, slots=slots, options=ANY) for n in places)
        return next((name for name in found if name is not None), None)


def percent(one: Mapping[str, Any]) -> dict[str, float | None]:
    """J, F and J&F in percent, with the ends of the 95 % interval of J&F over objects."""
    spread = one["interval"]["J&F"]
    means = {"J": one["global"]["J-Mean"], "F": one["global"]["F-Mean"], "J&F": spread["mean"]}
    return {
        name: 100 * value for name, value in {**means, "low": spread["low"], "high": spread["high"]}.items()
    }


def official(one: Mapping[str, Any]) -> dict[str, float | None]:
    """The seven official columns in percent, named as in AMM, and the interval of J&F."""
    columns = ("J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay")
    values = {name.removesuffix("-Mean"): 100 * one["global"][name] for name in columns}
    spread = percent(one)
    return {**values, "J&F": spread["J&F"], "low": spread["low"], "high": spread["high"]}


@dataclass(frozen=True)
class ReportTable:
    """A paper's table with our rows.

    Attributes:
        key: of the published numbers, entry of ``papers.TABLES``.
        name: heading, with the paper's number.
        runs: of the results, row key → name of the run that belongs there, None where there is none.
        values: of a run's scores, column → value; the default gives J, F, J&F and its interval.
        rows: in place of both, our values by row key and column.
        reasons: row key → why it has no value of ours; ``*``: all others.
        digits: after the point.
    """

    key: str
    name: str
    runs: Callable[[Results], Mapping[str, str | None]] = lambda _: {}
    values: Callable[[Mapping[str, Any]], dict[str, float | None]] = percent
    rows: Callable[[Results], Rows] | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)
    digits: int = 1

    @property
    def paper(self) -> PaperTable:
        """The published numbers."""
        return TABLES[self.key]

    def ours(self, results: Results) -> Rows:
        """Our values by row key and column."""
        if self.rows is not None:
            return self.rows(results)
        found = self.runs(results)
        return {key: self.values(results.scores[name]) for key, name in found.items() if name is not None}

    def missing(self, results: Results) -> str:
        """A sentence on the paper's rows that were not run here; the empty text when there are none."""
        ours = self.ours(results)
        groups: dict[str, list[str]] = {}
        for key, (label, _) in self.paper.rows.items():
            if key not in ours:
                why = self.reasons.get(key, self.reasons.get("*", NOT_RUN))
                groups.setdefault(why, []).append(label)
        return " ".join(f"{', '.join(labels)}: {why}." for why, labels in groups.items())


def _rules(r: Results) -> dict[str, str | None]:
    return {
        name: r.rule(name) for name in (*TABLES["stremn-1"].rows, "every_n", "first", "previous", BASELINE)
    }


def _systems(r: Results) -> dict[str, str | None]:
    passes = [
        name
        for name in select(r.runs, network=r.network, policy=ANY, slots=r.slots, scales=ANY, flip=ANY)
        if r.runs[name].scales != [1.0]  # several scales, as in the paper; mirrored alone is another system
    ]
    return {
        **{name: find(r.runs, network=name, policy=None, slots=r.slots) for name in ("stm", "stcn")},
        "stremn": r.learned(r.slots),
        "stremn-ms": next(iter(passes), None),
    }


def _fusion(r: Results) -> dict[str, str | None]:
    fields = {"network": "stremn-fusion", "policy": None, "slots": r.slots}
    return {
        "fusion": find(r.runs, **fields),
        "no-fusion": find(r.runs, **fields, options={"fusion": "none"}),
    }


def _training(r: Results) -> dict[str, str | None]:
    return {
        "pretraining": r.learned(r.slots, trained="pretrain"),
        "main": r.learned(r.slots, network="main-only"),
        "both": r.learned(r.slots),
    }


def _regularised(r: Results) -> dict[str, str | None]:
    return {name: find(r.runs, network=name, policy=None, slots=r.slots) for name in TABLES["amm-5"].rows}


def _sequences(r: Results) -> Rows:
    several = {k: name for k in (2, 3, 6) if (name := r.learned(k)) is not None}
    if len(several) < 3:
        return {}
    rows: Rows = {}
    for object_name in r.scores[several[2]]["objects"]:
        j = {f"{k} slots": r.scores[name]["objects"][object_name]["J-Mean"] for k, name in several.items()}
        rows[object_name] = {**j, "σ": float(np.std(list(j.values())))}
    return rows


def _stm_rules(r: Results) -> Rows:
    found = {key: r.rule(key) for key in TABLES["stm-5"].rows}
    return {
        key: {**percent(r.scores[name]), "seconds": r.seconds.get(name)}
        for key, name in found.items()
        if name is not None
    }


def _amm_speed(r: Results) -> Rows:
    seconds = {key: r.seconds.get(r.amm(key) or "") for key in TABLES["amm-3"].rows}
    return {key: {"frames/s": 1 / value} for key, value in seconds.items() if value}


def _amm(key: str, of_2016: bool | None = None) -> Callable[[Results], dict[str, str | None]]:
    """Runs of the rules in a table of AMM; of_2016: only if the clips are those of DAVIS 2016, or are not."""

    def runs(r: Results) -> dict[str, str | None]:
        if of_2016 is not None and of_2016 != (r.protocol == "davis2016"):
            return {}
        return {name: r.amm(name) for name in TABLES[key].rows}

    return runs


RULES_AND_SLOTS = (
    ReportTable("stremn-1", "STReMN Table 1: memory update rules", _rules),
    ReportTable(
        "stremn-2",
        "STReMN Table 2: number of slots, learned rule",
        lambda r: {str(k): r.learned(k) for k in range(2, 12)},
    ),
)
SYSTEMS_AND_TRAINING = (
    ReportTable(
        "stremn-3",
        "STReMN Table 3: systems",
        _systems,
        reasons={"stm": ELSEWHERE, "stcn": ELSEWHERE, "stremn": NOT_RUN, "stremn-ms": NOT_RUN, "*": OTHER},
    ),
    ReportTable("stremn-4", "STReMN Table 4: YouTube-VOS", reasons={"*": NO_DATA}),
    ReportTable(
        "stremn-6", "STReMN Table 6: fusion of the removed template", _fusion, reasons={"*": ELSEWHERE}
    ),
    ReportTable(
        "stremn-earlier-11",
        "Earlier version, Table 11: J of each object",
        rows=_sequences,
        reasons={"*": NO_DATA},
        digits=3,
    ),
    ReportTable(
        "stm-4",
        "STM Table 4: what the network was trained on",
        _training,
        reasons={"cross": "it needs two data sets, this profile has one", "*": ELSEWHERE},
    ),
)
STM_AND_AMM = (
    ReportTable("stm-5", "STM Table 5: memory rules and time", rows=_stm_rules, digits=2),
    ReportTable(
        "amm-1-2016",
        "AMM Table I: feature-level removal, DAVIS 2016",
        _amm("amm-1-2016", True),
        official,
        reasons={"*": NO_DATA},
    ),
    ReportTable(
        "amm-1-2017", "AMM Table I: feature-level removal, DAVIS 2017", _amm("amm-1-2017", False), official
    ),
    ReportTable("amm-2", "AMM Table II: YouTube-VOS", reasons={"*": NO_DATA}),
    ReportTable("amm-3", "AMM Table III: speed", rows=_amm_speed),
    ReportTable("amm-4", "AMM Table IV: what counts as a use", _amm("amm-4")),
    ReportTable(
        "amm-5", "AMM Table V: regularisers of the affinity", _regularised, official, reasons={"*": ELSEWHERE}
    ),
    ReportTable("amm-6", "AMM Table VI: regularisers, YouTube-VOS", reasons={"*": NO_DATA}),
)
PREDICTION = ReportTable(
    "stremn-5",
    "STReMN Table 5: video prediction",
    rows=lambda r: {system: dict(values) for system, values in r.prediction.items()},
    reasons={"convlstm": NOT_RUN, "predrnn": NOT_RUN, "stremn": NOT_RUN, "*": OTHER},
    digits=3,
)
