"""Our numbers in the rows of the papers' tables, and for each empty cell the reason.

A run of the evaluation is found by its name: a rule (``learned``, ``oldest``, …), a rule with a number of
slots (``learned@4``, ``lfu@2``), a system (``stm``, ``stcn``, ``stremn-ms``) or a variant (``fusion``).
Rules on another network than the main one are ``<network>:<rule>``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from stremn.evaluation.bootstrap import bootstrap_mean
from stremn.evaluation.vos import VOSScores
from stremn.report import papers
from stremn.report.papers import PaperTable

Rows = dict[str, dict[str, float | None]]
OTHER = "not a system of this project"
NOT_RUN = "not run in this profile"
ELSEWHERE = "not trained in this profile; the profile “systems” trains it"
NO_DATA = "its data are not part of this profile"
AMM_RUNS = {"every_n": "every_n", "first_and_previous": "first_and_previous", "lfu": "lfu@2"}  # row → run


@dataclass(frozen=True)
class Results:
    """What the evaluation stages left.

    Attributes:
        scores: of each run.
        slots: K of the rules.
        protocol: with which they were scored; it tells DAVIS 2016 from 2017.
        seconds: per frame of each run.
        prediction: system → metric → value.
    """

    scores: Mapping[str, VOSScores]
    slots: int
    protocol: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    prediction: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)

    def learned(self, slots: int) -> VOSScores | None:
        """The learned rule with a number of slots."""
        return self.scores.get("learned" if slots == self.slots else f"learned@{slots}")

    def amm(self, rule: str) -> VOSScores | None:
        """A rule on STCN where the profile has it, else on the main network."""
        return self.scores.get(f"stcn:{rule}", self.scores.get(rule))


@dataclass(frozen=True)
class Filled:
    """A paper's table with our rows.

    Attributes:
        paper: the published numbers.
        name: heading, with the paper's number.
        rows: our values by row key and column.
        reasons: row key → why it has no value of ours; ``*``: all others.
        digits: after the point.
    """

    paper: PaperTable
    name: str
    rows: Callable[[Results], Rows]
    reasons: Mapping[str, str] = field(default_factory=dict)
    digits: int = 1

    def missing(self, results: Results) -> str:
        """A sentence on the rows that are empty on our side; the empty text when there are none."""
        ours = self.rows(results)
        groups: dict[str, list[str]] = {}
        for key, (label, _) in self.paper.rows.items():
            if key not in ours:
                why = self.reasons.get(key, self.reasons.get("*", NOT_RUN))
                groups.setdefault(why, []).append(label)
        return "".join(f" No value for {', '.join(labels)}: {why}." for why, labels in groups.items())


def percent(scores: VOSScores) -> dict[str, float | None]:
    """J, F and J&F in percent, with the ends of the 95 % interval of J&F over objects."""
    spread = bootstrap_mean(scores.column())
    means = {"J": scores.global_["J-Mean"], "F": scores.global_["F-Mean"], "J&F": spread.mean}
    return {name: 100 * value for name, value in {**means, "low": spread.low, "high": spread.high}.items()}


def official(scores: VOSScores) -> dict[str, float | None]:
    """The seven official columns in percent, named as in AMM, and the interval of J&F."""
    columns = ("J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay")
    values = {name.removesuffix("-Mean"): 100 * scores.global_[name] for name in columns}
    spread = percent(scores)
    return {**values, "J&F": spread["J&F"], "low": spread["low"], "high": spread["high"]}


def _named(names: Mapping[str, str]) -> Callable[[Results], Rows]:
    """Row key → run; rows without a run stay empty."""
    return lambda r: {key: percent(r.scores[run]) for key, run in names.items() if run in r.scores}


def _rules(r: Results) -> Rows:
    extra = ("every_n", "first", "previous", "first_mask")
    return {n: percent(r.scores[n]) for n in (*papers.RULES.rows, *extra) if n in r.scores}


def _slots(r: Results) -> Rows:
    found = {k: r.learned(k) for k in range(2, 12)}
    return {str(k): percent(scores) for k, scores in found.items() if scores is not None}


def _sequences(r: Results) -> Rows:
    several = {k: r.learned(k) for k in (2, 3, 6)}
    if any(scores is None for scores in several.values()):
        return {}
    rows: Rows = {}
    for name in next(iter(several.values())).objects:  # type: ignore[union-attr]
        j = {f"{k} slots": s.objects[name]["J-Mean"] for k, s in several.items() if s is not None}
        rows[name] = {**j, "σ": float(np.std(list(j.values())))}
    return rows


def _stm_rules(r: Results) -> Rows:
    return {
        n: {**percent(r.scores[n]), "seconds": r.seconds.get(n)}
        for n in papers.STM_RULES.rows
        if n in r.scores
    }


def _amm_2016(r: Results) -> Rows:
    return _amm(r) if r.protocol == "davis2016" else {}


def _amm_2017(r: Results) -> Rows:
    return {} if r.protocol == "davis2016" else _amm(r)


def _amm(r: Results) -> Rows:
    found = {key: r.amm(run) for key, run in AMM_RUNS.items()}
    return {key: official(scores) for key, scores in found.items() if scores is not None}


def _amm_speed(r: Results) -> Rows:
    seconds = {key: r.seconds.get(f"stcn:{run}", r.seconds.get(run)) for key, run in AMM_RUNS.items()}
    return {key: {"frames/s": 1 / value} for key, value in seconds.items() if value}


def _amm_index(r: Results) -> Rows:
    found = {"lfu_softmax": r.amm("lfu_softmax@2"), "lfu": r.amm("lfu@2")}
    return {key: percent(scores) for key, scores in found.items() if scores is not None}


def _prediction(r: Results) -> Rows:
    return {system: dict(values) for system, values in r.prediction.items()}


def _none(_: Results) -> Rows:
    return {}


SYSTEMS = {"stm": "stm", "stcn": "stcn", "stremn": "learned", "stremn-ms": "stremn-ms"}
TRAINING = {"pretraining": "pretraining-only", "main": "main-only", "both": "learned"}
REGULARISED = ("stcn_dropout", "stcn_reallocation", "stcn")

SEGMENTATION: tuple[Filled, ...] = (
    Filled(papers.RULES, "STReMN Table 1: memory update rules", _rules),
    Filled(papers.SLOTS, "STReMN Table 2: number of slots, learned rule", _slots),
    Filled(
        papers.DAVIS17,
        "STReMN Table 3: systems",
        _named(SYSTEMS),
        {"stm": ELSEWHERE, "stcn": ELSEWHERE, "stremn": NOT_RUN, "stremn-ms": NOT_RUN, "*": OTHER},
    ),
    Filled(papers.YOUTUBE_VOS, "STReMN Table 4: YouTube-VOS", _none, {"*": NO_DATA}),
    Filled(
        papers.FUSION,
        "STReMN Table 6: fusion of the removed template",
        _named({"fusion": "fusion", "no-fusion": "no-fusion"}),
        {"*": ELSEWHERE},
    ),
    Filled(papers.SEQUENCES, "Earlier version, Table 11: J of each object", _sequences, {"*": NO_DATA}, 3),
    Filled(
        papers.STM_TRAINING,
        "STM Table 4: what the network was trained on",
        _named(TRAINING),
        {"cross": "it needs two data sets, this profile has one", "*": ELSEWHERE},
    ),
    Filled(papers.STM_RULES, "STM Table 5: memory rules and time", _stm_rules, digits=2),
    Filled(papers.AMM_DAVIS16, "AMM Table I: feature-level removal, DAVIS 2016", _amm_2016, {"*": NO_DATA}),
    Filled(papers.AMM_DAVIS17, "AMM Table I: feature-level removal, DAVIS 2017", _amm_2017),
    Filled(papers.AMM_YOUTUBE, "AMM Table II: YouTube-VOS", _none, {"*": NO_DATA}),
    Filled(papers.AMM_SPEED, "AMM Table III: speed", _amm_speed),
    Filled(papers.AMM_INDEX, "AMM Table IV: what counts as a use", _amm_index),
    Filled(
        papers.AMM_REGULARISED,
        "AMM Table V: regularisers of the affinity",
        lambda r: {n: official(r.scores[n]) for n in REGULARISED if n in r.scores},
        {"*": ELSEWHERE},
    ),
    Filled(papers.AMM_REGULARISED_YOUTUBE, "AMM Table VI: regularisers, YouTube-VOS", _none, {"*": NO_DATA}),
)
"""Every segmentation table of the papers, in their order."""

PREDICTION = Filled(
    papers.PREDICTION,
    "STReMN Table 5: video prediction",
    _prediction,
    {"convlstm": NOT_RUN, "predrnn": NOT_RUN, "stremn": NOT_RUN, "*": OTHER},
    digits=3,
)
