"""Stage 9: the papers' numbers beside ours, as a page of Markdown with its files and as one HTML file."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from stremn.evaluation.bootstrap import Interval
from stremn.evaluation.runs import load_runs
from stremn.report.claims import Claim, cost_claims, counted, prediction_claims, rule_claims
from stremn.report.page import Report, Section, Table
from stremn.report.report_tables import (
    LABELS,
    PREDICTION,
    RULES_AND_SLOTS,
    STM_AND_AMM,
    SYSTEMS_AND_TRAINING,
    ReportTable,
    Results,
)
from stremn.report.tables import comparison_note, with_paper
from stremn.settings import Settings
from stremn.stages.base import Stage

Row = dict[str, dict[str, float | None]]


class Parameters(Settings):
    """Settings of the stage."""

    title: str = "STReMN, reproduced"
    """Of the page."""
    data: str
    """One line on the data, size and training behind our numbers, for the notes under the tables."""
    convention: str = "predrnn"
    """Of the prediction metrics."""


def segmentation(stage: Stage[Parameters]) -> list[Section]:
    """Every segmentation table of the papers, all runs, and the figures of the evaluation."""
    results = _results(stage)

    def tables(of: Sequence[ReportTable]) -> list[Table]:
        return [_table(stage, table, results) for table in of if table.ours(results)]

    return [
        Section(
            f"Segmentation: update rules and slots (K = {results.slots})", RULES_TEXT, tables(RULES_AND_SLOTS)
        ),
        Section(
            "Segmentation: systems, fusion, training",
            "J&F in percent, as above.",
            tables(SYSTEMS_AND_TRAINING),
        ),
        Section("Segmentation: rules of STM and AMM", AMM_TEXT, tables(STM_AND_AMM)),
        Section("Segmentation: everything that ran", RUNS_TEXT, _runs(stage)),
        Section("Segmentation: figures", FIGURES_TEXT, pictures=_pictures(stage.inputs("evaluate_vos"))),
    ]


def prediction(stage: Stage[Parameters]) -> Section:
    """STReMN Table 5: video prediction."""
    folder, convention = stage.inputs("evaluate_prediction"), stage.parameters.convention
    by = stage.written("evaluate_prediction", "scores.json", convention)[convention]
    reasons = sorted({reason for scores in by.values() for reason in scores["reasons"].values()})
    text = f"Metrics in the convention “{convention}”. "
    text += "".join(f"LPIPS is not given: {reason}. " for reason in reasons)
    table = _table(stage, PREDICTION, Results(prediction=_prediction(stage)))
    return Section("Video prediction", text, [table], _pictures(folder))


def _prediction(stage: Stage[Parameters]) -> Row:
    convention = stage.parameters.convention
    by = stage.written("evaluate_prediction", "scores.json", convention)[convention]
    return {
        system: {name: scores["mean"][name.lower()] for name in ("PSNR", "SSIM", "LPIPS", "MSE")}
        for system, scores in by.items()
    }


def claims(stage: Stage[Parameters]) -> pd.DataFrame:
    """The papers' claims: what holds, what does not, what is not established here, with the figure."""
    rows = [[claim.verdict, claim.found] for claim in _claims(stage)]
    return pd.DataFrame(rows, [claim.text for claim in _claims(stage)], ["here", "figure"])


def _claims(stage: Stage[Parameters]) -> list[Claim]:
    results = _results(stage)
    growth = stage.written("cost", "cost.json", "growth")["growth"]
    return [
        *rule_claims(results, _over_seeds(stage, results)),
        *prediction_claims(_prediction(stage)),
        *cost_claims(growth, results.slots),
    ]


def _over_seeds(stage: Stage[Parameters], results: Results) -> dict[str, Interval]:
    """How far each rule lies behind the learned one, averaged over trainings; empty where there was one."""
    path = stage.inputs("evaluate_vos") / "tables" / "seeds.csv"
    if not path.is_file():
        return {}
    table = pd.read_csv(path, index_col=0)
    titles = {name: run.title for name, run in results.runs.items()}
    objects = len(results.scores["learned"]["objects"])
    found = {}
    for name, title in titles.items():
        if title in table.index and not pd.isna(table.loc[title, "behind"]):
            mean, low, high = (float(table.loc[title, f"behind{end}"]) / 100 for end in ("", " low", " high"))
            found[name] = Interval(mean, low, high, objects)
    return found


def _not_run(stage: Stage[Parameters]) -> str:
    """The papers' systems and tables without a value of ours, each table in a sentence."""
    r = replace(_results(stage), prediction=_prediction(stage))
    tables = [*RULES_AND_SLOTS, *SYSTEMS_AND_TRAINING, *STM_AND_AMM, PREDICTION]
    parts = [f"{table.name.split(':')[0]}: {text}" for table in tables if (text := table.missing(r))]
    return f"Not run here. {' '.join(parts)}" if parts else ""


def memory_and_cost(stage: Stage[Parameters]) -> list[Section]:
    """STReMN Figs. 5 and 6, and the cost of a long video."""
    cost = stage.inputs("cost")
    table = pd.Series(stage.written("cost", "cost.json", "growth")["growth"]).rename("value").to_frame()
    table.index = table.index.map(lambda name: str(name).replace(".", ": "))
    growth = Table("Growth", table, "One stream per system on the machine that ran the pipeline.", 3)
    return [
        Section("What the memory keeps", MEMORY_TEXT, pictures=_pictures(stage.inputs("memory"))),
        Section("Cost against the length of the video", COST_TEXT, [growth], _pictures(cost)),
    ]


def shown(section: Section, number: int) -> pd.DataFrame | None:
    """A table of a section as it stands in the report, under its caption; None where the profile has none."""
    if number >= len(section.tables):
        return None
    table = section.tables[number]
    return table.cells().rename_axis(columns=table.caption)


def write(stage: Stage[Parameters], sections: Sequence[Section]) -> Path:
    """Write ``report.md`` with its pictures, and ``report.html``, one file with everything inside."""
    p = stage.parameters
    found = _claims(stage)
    lead = f"Profile {stage.profile}. {p.data} Of the papers' claims: {counted(found)}"
    report = Report(p.title, lead, sections, found, _not_run(stage))
    report.write_markdown(stage.out / "report.md")
    path = stage.out / "report.html"
    report.write_html(path)
    stage.logger.artifact(path)
    stage.metrics({"sections": float(len(sections)), "bytes": float(path.stat().st_size)})
    return path


RULES_TEXT = (
    "Every rule runs on the same weights, trained with the learned rule. J&F in percent; low and high are the "
    "ends of the 95 % bootstrap interval over objects."
)
RUNS_TEXT = (
    "Every run of this profile, variants of the learned update included. “behind” is how far a run lies behind the "
    "learned rule on the same objects, with its 95 % interval: one that contains zero shows no difference."
)
FIGURES_TEXT = (
    "STM Fig. 5 is “read”, STM Fig. 7 “distribution”, AMM Fig. 6 “capacity”, which needs runs of the rule lfu with "
    "several capacities."
)
AMM_TEXT = (
    "STM Table 5 is on the main network; AMM's rules on the network named “stcn” where this profile trains one, else "
    "on the main network. The seconds are those of all clips side by side in batches, on the machine that ran the "
    "pipeline."
)
MEMORY_TEXT = "The paper's Figs. 5 and 6 on our clips: distance of the kept frames, evictions, and what is left at the end."
COST_TEXT = "Ratios compare the last hundred frames with the second hundred: 1 is constant."


def _pictures(folder: Path) -> list[Path]:
    return sorted((folder / "figures").glob("*.png"))


def _results(stage: Stage[Parameters]) -> Results:
    folder = stage.inputs("evaluate_vos")
    about = stage.written("evaluate_vos", "settings.json", "network", "slots", "protocol")
    return Results(
        load_runs(folder / "runs.json"),
        stage.written("evaluate_vos", "scores.json", "learned"),
        about["network"],
        about["slots"],
        about["protocol"],
        about["seconds_per_frame"],
    )


def _table(stage: Stage[Parameters], table: ReportTable, results: Results) -> Table:
    rows = table.ours(results)
    values = with_paper(table.paper, rows, LABELS)
    stage.table(table.key, values)
    ours = stage.parameters.data if rows else None
    note = comparison_note(table.paper, ours)
    return Table(table.name, values, note, table.digits)


def _runs(stage: Stage[Parameters]) -> list[Table]:
    folder = stage.inputs("evaluate_vos") / "tables"
    seeds = "sd: standard deviation over the seeds; intervals are over objects, of differences averaged over seeds."
    tables = [
        ("systems", "All runs, percent", stage.parameters.data),
        ("seeds", "Rules over seeds of the training, J&F in percent", seeds),
    ]
    return [
        Table(caption, pd.read_csv(folder / f"{name}.csv", index_col=0), note)
        for name, caption, note in tables
        if (folder / f"{name}.csv").is_file()
    ]
