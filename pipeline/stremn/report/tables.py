"""Tables for reports: our scores, alone or beside a paper's, each with a line on what may be compared."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from stremn.errors import InputError
from stremn.evaluation.bootstrap import Interval, difference_over_trainings
from stremn.evaluation.headroom import headroom_share_over
from stremn.evaluation.runs import Compared
from stremn.evaluation.vos import VOSScores
from stremn.report.papers import PaperTable


def with_paper(
    paper: PaperTable,
    ours: Mapping[str, Mapping[str, float | None]],
    labels: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """The paper's table with our columns to its right: columns (source, name), one row a system that we have.

    ours: row key → column → value in the paper's unit. Keys that the paper has stand in its rows, others
    follow below under ``labels`` (default: the key itself); numbers are in order. A missing value is NaN.
    """
    names = [column for row in ours.values() for column in row]
    columns = [("paper", name) for name in paper.columns] + [("ours", name) for name in dict.fromkeys(names)]
    keys = [*(key for key in paper.rows if key in ours), *(key for key in ours if key not in paper.rows)]
    if all(key.isdecimal() for key in keys):
        keys.sort(key=int)
    table = pd.DataFrame(
        float("nan"), index=keys, columns=pd.MultiIndex.from_tuples(columns), dtype="float64"
    )
    for key, (_, values) in paper.rows.items():
        if key not in ours:
            continue
        table.loc[key, "paper"] = pd.Series(values, table["paper"].columns, dtype="float64").to_numpy()
    for key, row in ours.items():
        for name, value in row.items():
            table.loc[key, ("ours", name)] = float("nan") if value is None else value
    shown = {key: label for key, (label, _) in paper.rows.items()}
    return table.rename(index={**(labels or {}), **shown})


def comparison_note(paper: PaperTable, ours: str | None) -> str:
    """The line under a table of :func:`with_paper`. ours: data, size and training behind our numbers; None: no numbers."""
    if ours is None:
        return f"Paper: {paper.source} ({paper.conditions})."
    reading = "Other data, size and training: the order of the rows can be compared, the numbers cannot."
    return f"Paper: {paper.source} ({paper.conditions}). Ours: {ours.rstrip('.')}. {reading}"


def systems_table(systems: Mapping[str, Compared], labels: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Percentages of several systems on the same objects, best J&F first, with 95 % intervals.

    ``behind`` is the reference's J&F minus the system's, paired over objects, with its interval; ``headroom`` the share
    that a rule has of what the oracle gains in J over the first and latest frame; ``J after returns`` the mean J in the
    frames after an object came back. The last two only where the clips know their appearances.
    """
    rows = {}
    for name, one in systems.items():
        row = {
            "J": one.scores.global_["J-Mean"],
            "F": one.scores.global_["F-Mean"],
            "J&F": one.mean.mean,
            "low": one.mean.low,
            "high": one.mean.high,
        }
        if one.behind is not None:
            row |= _behind(one.behind)
        if one.headroom is not None:
            row |= {
                "headroom": one.headroom.share,
                "headroom low": one.headroom.low,
                "headroom high": one.headroom.high,
            }
        if one.after_returns is not None:
            row["J after returns"] = one.after_returns
        rows[name] = row
    table = 100 * pd.DataFrame.from_dict(rows, orient="index")
    return table.sort_values("J&F", ascending=False).rename(index=dict(labels or {}))


def seeds_table(
    trained: Sequence[Mapping[str, VOSScores]],
    labels: Mapping[str, str] | None = None,
    *,
    reference: str,
    oracle: str = "",
    base: str = "",
    seed: int = 0,
) -> pd.DataFrame:
    """Percentages of J&F of several rules over trainings that differ in their seed alone, best mean first.

    Args:
        trained: of each training, the scores of the same rules on the same objects; two trainings or more.
        reference: the rule that ``behind`` is counted from.
        oracle, base: rules between which the share of the headroom is told; without them it is not.

    Returns:
        ``mean`` and ``sd`` (n − 1) over the seeds; ``behind``, reference − rule averaged over the seeds, with its
        95 % interval over trainings and clips (``evaluation.bootstrap.over_trainings``) and its ``sd`` over the
        seeds; ``headroom``, the share of what the oracle gains in J over the base, with its interval.

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
            gap = difference_over_trainings(_of(trained, reference), _of(trained, name), seed=seed)
            gaps = [one[reference].global_["J&F-Mean"] - m for one, m in zip(trained, means, strict=True)]
            row |= _behind(gap)
            row["behind sd"] = float(np.std(gaps, ddof=1))
        if oracle in trained[0] and base in trained[0]:
            share = headroom_share_over(*(_of(trained, n, "J-Mean") for n in (name, oracle, base)), seed=seed)
            if share is not None:
                row |= {"headroom": share.share, "headroom low": share.low, "headroom high": share.high}
        rows[name] = row
    table = 100 * pd.DataFrame.from_dict(rows, orient="index")
    return table.sort_values("mean", ascending=False).rename(index=dict(labels or {}))


def _behind(gap: Interval) -> dict[str, float]:
    return {"behind": gap.mean, "behind low": gap.low, "behind high": gap.high}


def _of(
    trained: Sequence[Mapping[str, VOSScores]], rule: str, statistic: str = "J&F-Mean"
) -> list[dict[str, float]]:
    """A statistic of each object by a rule, of each training."""
    return [one[rule].by_object(statistic) for one in trained]
