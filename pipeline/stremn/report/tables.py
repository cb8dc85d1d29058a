"""Tables for reports: our scores, alone or beside a paper's, each with a line on what may be compared."""

import html
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from stremn.errors import InputError
from stremn.evaluation.bootstrap import bootstrap_mean, paired_difference
from stremn.evaluation.vos import VOSScores
from stremn.report.papers import PaperTable


def beside(
    paper: PaperTable,
    ours: Mapping[str, Mapping[str, float | None]],
    labels: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """The paper's table with our columns to its right: columns (source, name), one row a system.

    ours: row key → column → value in the paper's unit. Keys that the paper has join its rows, others
    follow below under ``labels`` (default: the key itself). A missing value is NaN.
    """
    names = [column for row in ours.values() for column in row]
    columns = [("paper", name) for name in paper.columns] + [("ours", name) for name in dict.fromkeys(names)]
    keys = [*paper.rows, *(key for key in ours if key not in paper.rows)]
    table = pd.DataFrame(
        float("nan"), index=keys, columns=pd.MultiIndex.from_tuples(columns), dtype="float64"
    )
    for key, (_, values) in paper.rows.items():
        table.loc[key, "paper"] = pd.Series(values, table["paper"].columns, dtype="float64").to_numpy()
    for key, row in ours.items():
        for name, value in row.items():
            table.loc[key, ("ours", name)] = float("nan") if value is None else value
    shown = {key: label for key, (label, _) in paper.rows.items()}
    return table.rename(index={**(labels or {}), **shown})


def comparison_note(paper: PaperTable, ours: str | None, *, comparable: bool = False) -> str:
    """The line under a table of :func:`beside`. ours: data, size and training behind our numbers; None: no numbers."""
    if ours is None:
        return f"Paper: {paper.source} ({paper.conditions})."
    reading = (
        "Same data and protocol: the numbers can be compared."
        if comparable
        else "Other data, size and training: the order of the rows can be compared, the numbers cannot."
    )
    return f"Paper: {paper.source} ({paper.conditions}). Ours: {ours.rstrip('.')}. {reading}"


def systems_table(
    scores: Mapping[str, VOSScores],
    labels: Mapping[str, str] | None = None,
    *,
    reference: str | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Percentages of several systems on the same objects, best J&F first, with 95 % intervals.

    With ``reference``: also reference − system in J&F, paired over objects, and its interval.
    """
    if reference is not None and reference not in scores:
        raise InputError(f"expected the reference among {', '.join(scores)}, found {reference!r}")
    rows = {}
    for name, system in scores.items():
        spread = bootstrap_mean(system.column(), seed=seed)
        row = {
            "J": system.global_["J-Mean"],
            "F": system.global_["F-Mean"],
            "J&F": spread.mean,
            "low": spread.low,
            "high": spread.high,
        }
        if reference is not None and name != reference:
            gap = paired_difference(scores[reference].by_object(), system.by_object(), seed=seed)
            row |= {"behind": gap.mean, "behind low": gap.low, "behind high": gap.high}
        rows[name] = row
    table = 100 * pd.DataFrame.from_dict(rows, orient="index")
    return table.sort_values("J&F", ascending=False).rename(index=dict(labels or {}))


def seeds_table(
    trained: Sequence[Mapping[str, VOSScores]],
    labels: Mapping[str, str] | None = None,
    *,
    reference: str,
    seed: int = 0,
) -> pd.DataFrame:
    """Percentages of J&F of several rules over trainings that differ in their seed alone, best mean first.

    Args:
        trained: of each training, the scores of the same rules on the same objects; two trainings or more.
        reference: the rule that ``behind`` is counted from.

    Returns:
        ``mean`` and ``sd`` (n − 1) over the seeds; ``behind``, reference − rule averaged over the seeds, with its
        95 % interval over objects (each object's difference is its mean over the seeds) and its ``sd`` over the seeds.

    Raises:
        InputError: fewer than two trainings, or a rule that not every one has.
    """
    if len(trained) < 2 or any(one.keys() != trained[0].keys() for one in trained):
        raise InputError(f"expected the same rules on two seeds or more, found {len(trained)} seeds")
    if reference not in trained[0]:
        raise InputError(f"expected the reference among {', '.join(trained[0])}, found {reference!r}")
    rows = {}
    for name in trained[0]:
        means = [one[name].global_["J&F-Mean"] for one in trained]
        row = {"mean": float(np.mean(means)), "sd": float(np.std(means, ddof=1))}
        if name != reference:
            gap = paired_difference(_over_seeds(trained, reference), _over_seeds(trained, name), seed=seed)
            gaps = [one[reference].global_["J&F-Mean"] - m for one, m in zip(trained, means, strict=True)]
            row |= {"behind": gap.mean, "behind low": gap.low, "behind high": gap.high}
            row["behind sd"] = float(np.std(gaps, ddof=1))
        rows[name] = row
    table = 100 * pd.DataFrame.from_dict(rows, orient="index")
    return table.sort_values("mean", ascending=False).rename(index=dict(labels or {}))


def to_html(table: pd.DataFrame, note: str = "", caption: str = "", digits: int = 1) -> str:
    """HTML ``figure`` with the table, a caption above and the note below; everything escaped."""
    flat = _flat(table)
    head = "".join(f"<th scope='col'>{html.escape(name)}</th>" for name in ["", *flat.columns])
    body = "".join(
        f"<tr><th scope='row'>{html.escape(str(name))}</th>"
        + "".join(f"<td>{html.escape(_cell(value, digits))}</td>" for value in row)
        + "</tr>"
        for name, row in _rows(flat)
    )
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    below = f"<figcaption>{html.escape(note)}</figcaption>" if note else ""
    return (
        f"<figure><table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}</figure>"
    )


def _over_seeds(trained: Sequence[Mapping[str, VOSScores]], rule: str) -> dict[str, float]:
    """J&F of each object by a rule, mean over the trainings."""
    values = [one[rule].by_object() for one in trained]
    return {name: float(np.mean([one[name] for one in values])) for name in values[0]}


def _flat(table: pd.DataFrame) -> pd.DataFrame:
    names = [": ".join(map(str, name)) if isinstance(name, tuple) else str(name) for name in table.columns]
    return table.set_axis(names, axis=1)


def _rows(table: pd.DataFrame) -> list[tuple[object, list[object]]]:
    return [(name, list(row)) for name, row in zip(table.index, table.to_numpy(object), strict=True)]


def _cell(value: object, digits: int) -> str:
    if not isinstance(value, (int, float)):
        return "–" if value is None else str(value)
    if value != value:
        return "–"
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)
