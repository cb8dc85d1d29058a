"""Stage 9: the papers' numbers beside ours, as one self-contained HTML page."""

import base64
import html
import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from stremn.evaluation.vos import VOSScores
from stremn.report.filled import PREDICTION, SEGMENTATION, Filled, Results
from stremn.report.papers import TABLES
from stremn.report.tables import beside, comparison_note, to_html
from stremn.settings import Settings
from stremn.stages.base import Stage

Row = dict[str, dict[str, float | None]]


class Parameters(Settings):
    """Settings of the stage.

    Attributes:
        title: of the page.
        data: one line on the data, size and training behind our numbers, for the notes under the tables.
        comparable: the data and protocol are those of the papers.
        convention: of the prediction metrics.
    """

    title: str = "STReMN, reproduced"
    data: str
    comparable: bool = False
    convention: str = "predrnn"


@dataclass(frozen=True)
class Section:
    """A part of the report: a heading, a line of text, tables and pictures."""

    heading: str
    text: str
    tables: list[str]
    figures: list[tuple[str, Path]]


def segmentation(stage: Stage[Parameters]) -> list[Section]:
    """Every segmentation table of the papers, and the figures of the evaluation."""
    results = _results(stage)
    k, folder = results.slots, stage.inputs("evaluate_vos") / "figures"
    groups = {
        f"Segmentation: update rules and slots (K = {k})": (SEGMENTATION[:2], RULES_TEXT),
        "Segmentation: systems, fusion, training": (SEGMENTATION[2:7], "J&amp;F in percent, as above."),
        "Segmentation: rules of STM and AMM": (SEGMENTATION[7:], AMM_TEXT),
    }
    pictures = [(path.stem, path) for path in sorted(folder.glob("*.png"))]
    sections = [
        Section(heading, text, [_table(stage, table, results) for table in tables], [])
        for heading, (tables, text) in groups.items()
    ]
    return [
        *sections,
        Section("Segmentation: everything that ran", RUNS_TEXT, _runs(stage), []),
        Section("Segmentation: figures", FIGURES_TEXT, [], pictures),
    ]


def prediction(stage: Stage[Parameters]) -> Section:
    """STReMN Table 5: video prediction."""
    form = json.loads((stage.inputs("evaluate_prediction") / "scores.json").read_text())
    by = form[stage.parameters.convention]
    rows: Row = {}
    for system, scores in by.items():
        mean = scores["mean"]
        rows["stremn" if system == "STReMN" else system] = {
            "PSNR": mean["psnr"],
            "SSIM": mean["ssim"],
            "LPIPS": mean["lpips"],
            "MSE": mean["mse"],
        }
    reasons = {r for scores in by.values() for r in scores["reasons"].values()}
    text = f"Metrics in the convention “{html.escape(stage.parameters.convention)}”. "
    text += "".join(f"LPIPS is not given: {html.escape(r)}. " for r in sorted(reasons))
    folder = stage.inputs("evaluate_prediction") / "figures"
    return Section(
        "Video prediction",
        text,
        [_table(stage, PREDICTION, Results({}, 0, prediction=rows))],
        [(path.stem, path) for path in sorted(folder.glob("*.png"))],
    )


def memory_and_cost(stage: Stage[Parameters]) -> list[Section]:
    """STReMN Figs. 5 and 6, and the cost of a long video."""
    memory, cost = stage.inputs("memory"), stage.inputs("cost")
    growth = json.loads((cost / "cost.json").read_text())["growth"]
    table = pd.Series(growth).rename("value").to_frame()
    table.index = pd.Index([str(i).replace(".", ": ") for i in table.index])
    return [
        Section(
            "What the memory keeps",
            "The paper's Figs. 5 and 6 on our clips: distance of the kept frames, evictions, and what is left at the end.",
            [],
            [(path.stem, path) for path in sorted((memory / "figures").glob("*.png"))],
        ),
        Section(
            "Cost against the length of the video",
            "Ratios compare the last hundred frames with the second hundred: 1 is constant.",
            [
                to_html(
                    table, "One stream per system on the machine that ran the pipeline.", "Growth", digits=3
                )
            ],
            [(path.stem, path) for path in sorted((cost / "figures").glob("*.png"))],
        ),
    ]


def page(stage: Stage[Parameters], sections: list[Section]) -> Path:
    """One HTML file with everything inside."""
    p = stage.parameters
    body = "".join(_section(s) for s in sections)
    links = "".join(f"<li><a href='#{_anchor(s)}'>{html.escape(s.heading)}</a></li>" for s in sections)
    text = (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{html.escape(p.title)}</title>"
        f"<meta name='viewport' content='width=device-width'><style>{STYLE}</style><h1>{html.escape(p.title)}</h1>"
        f"<p>Profile <b>{html.escape(stage.profile)}</b>. {html.escape(p.data)}</p><ul>{links}</ul>{body}</html>"
    )
    path = stage.out / "report.html"
    path.write_text(text, encoding="utf-8")
    stage.logger.artifact(path)
    stage.metrics({"sections": float(len(sections)), "bytes": float(len(text))})
    return path


LABELS = {
    "first_mask": "Keep the first mask",
    "every_n": "STM, every N frames",
    "first": "First frame only",
    "previous": "Previous frame only",
    **{str(k): f"{k} slots" for k in range(2, 12)},
}
RULES_TEXT = (
    "Every rule runs on the same weights, trained with the learned rule. J&amp;F in percent; low and high are the "
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
    "STM Table 5 is on the main network; AMM's rules on the network named <code>stcn</code> where this profile "
    "trains one, else on the main network. The "
    "seconds are those of all clips side by side in batches, on the machine that ran the pipeline."
)
STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
h1,h2{line-height:1.2}h2{margin-top:3rem;border-top:1px solid #ddd;padding-top:1rem}
table{border-collapse:collapse;margin:1rem 0;font-size:.9rem}caption{text-align:left;font-weight:600;padding:.3rem 0}
th,td{padding:.25rem .7rem;border-bottom:1px solid #e5e5e5;text-align:right}
th[scope=row]{text-align:left;font-weight:400;min-width:9rem}
figure{margin:1rem 0;overflow-x:auto}figcaption{font-size:.85rem;color:#555;max-width:50rem}img{max-width:100%}
"""


def _results(stage: Stage[Parameters]) -> Results:
    folder = stage.inputs("evaluate_vos")
    form, about = (json.loads((folder / name).read_text()) for name in ("scores.json", "settings.json"))
    scores = {name: VOSScores.from_dict(one) for name, one in form.items()}
    return Results(scores, about["slots"], about["protocol"], about["seconds_per_frame"])


def _table(stage: Stage[Parameters], filled: Filled, results: Results) -> str:
    rows = filled.rows(results)
    table = beside(filled.paper, rows, LABELS)
    (key,) = (key for key, paper in TABLES.items() if paper is filled.paper)
    stage.table(key, table)
    ours = stage.parameters.data if rows else None
    note = comparison_note(filled.paper, ours, comparable=stage.parameters.comparable)
    return to_html(table, note + filled.missing(results), filled.name, filled.digits)


def _runs(stage: Stage[Parameters]) -> list[str]:
    captions = {"systems": "All runs, percent", "seeds": "Rules over seeds of the training, J&F in percent"}
    notes = {
        "systems": stage.parameters.data,
        "seeds": "sd: standard deviation over the seeds; intervals are over objects, of differences averaged over seeds.",
    }
    paths = {name: stage.inputs("evaluate_vos") / "tables" / f"{name}.csv" for name in captions}
    return [
        to_html(pd.read_csv(path, index_col=0), notes[name], captions[name])
        for name, path in paths.items()
        if path.is_file()
    ]


def _anchor(section: Section) -> str:
    return "".join(c if c.isalnum() else "-" for c in section.heading.lower())


def _section(section: Section) -> str:
    pictures = "".join(
        f"<figure><img alt='{html.escape(name)}' src='data:image/png;base64,"
        f"{base64.b64encode(path.read_bytes()).decode()}'></figure>"
        for name, path in section.figures
    )
    return (
        f"<section id='{_anchor(section)}'><h2>{html.escape(section.heading)}</h2><p>{section.text}</p>"
        f"{''.join(section.tables)}{pictures}</section>"
    )
