"""Result files with the names and columns of the DAVIS 2017 evaluation tool."""

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from stremn.evaluation.classes import SeenUnseen
from stremn.evaluation.statistics import COLUMNS
from stremn.evaluation.vos import VOSScores
from stremn.files import replacing
from stremn.listing import some

Rows = Iterable[Sequence[object]]
MakeRows = Callable[[VOSScores, SeenUnseen | None], Rows]
SHOWN = 100  # objects in the table on screen


def official_paths(folder: Path, subset: str = "val") -> tuple[Path, Path]:
    """``global_results-<subset>.csv`` and ``per-sequence_results-<subset>.csv``."""
    return folder / f"global_results-{subset}.csv", folder / f"per-sequence_results-{subset}.csv"


def official_tables(scores: VOSScores) -> tuple[list[list[str]], list[list[str]]]:
    """The two tables of the DAVIS tool, heads first: one global row; J and F means of each object.

    Three decimals, as the tool writes them.
    """
    overall = [list(COLUMNS), [f"{scores.global_[name]:.3f}" for name in COLUMNS]]
    objects = [["Sequence", "J-Mean", "F-Mean"]]
    objects += [
        [name, f"{row['J-Mean']:.3f}", f"{row['F-Mean']:.3f}"] for name, row in scores.objects.items()
    ]
    return overall, objects


def full_table(scores: VOSScores) -> list[list[str]]:
    """All seven columns of every object and, under the name Global, of the whole; nine decimals."""
    rows = [*scores.objects.items(), ("Global", scores.global_)]
    return [
        ["Sequence", *COLUMNS],
        *([name, *(f"{row[column]:.9f}" for column in COLUMNS)] for name, row in rows),
    ]


def frame_table(scores: VOSScores) -> list[list[str]]:
    """J and F of every object in every scored frame; Frame counts the annotated frames from 0."""
    rows = [["Sequence", "Frame", "J", "F"]]
    for name, one in scores.per_frame.items():
        values = zip(one.frames.tolist(), one.j.tolist(), one.f.tolist(), strict=True)
        rows += [[name, str(t), f"{j:.9f}", f"{f:.9f}"] for t, j, f in values]
    return rows


def class_table(groups: SeenUnseen | None, digits: int) -> list[list[str]]:
    """YouTube-VOS: G and its four parts in one row; empty where there is no object."""
    values = (groups or SeenUnseen()).values()
    return [list(values), ["" if value is None else f"{value:.{digits}f}" for value in values.values()]]


def csv_files(target: Path | None, per_frame: bool, *, known: bool) -> list[tuple[Path, MakeRows]]:
    """Which CSV files are written, each with the function that makes its rows of scores and classes.

    One file, or in a folder the official two; one more for the values of each frame.

    Args:
        target: a folder, or a name that ends in ``.csv``; None: no file.
        per_frame: also the values of each frame.
        known: the classes are known, so that one more file has G.
    """
    if target is None:
        return []
    if target.suffix.lower() == ".csv" and not target.is_dir():
        files: list[tuple[Path, MakeRows]] = [(target, lambda scores, _: full_table(scores))]
        digits, frames, classes = 9, target.stem + "-per-frame.csv", target.stem + "-youtube-vos.csv"
        folder = target.parent
    else:
        overall, objects = official_paths(target)
        files = [(overall, lambda scores, _: official_tables(scores)[0])]
        files += [(objects, lambda scores, _: official_tables(scores)[1])]
        digits, frames, classes = 3, "per-frame_results-val.csv", "youtube-vos_results-val.csv"
        folder = target
    if per_frame:
        files.append((folder / frames, lambda scores, _: frame_table(scores)))
    if known:
        files.append((folder / classes, lambda _, groups: class_table(groups, digits)))
    return files


def write_tables(tables: Iterable[tuple[Path, Rows]]) -> None:
    """Write CSV files, all of them or, on an error, none; their folders must exist."""
    with ExitStack() as stack:
        for path, rows in tables:
            with stack.enter_context(replacing(path)).open("w", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerows(rows)


def text_table(scores: VOSScores, groups: SeenUnseen | None = None) -> str:
    """The seven columns of every object, if they are not too many, and of the whole, as text.

    groups: of YouTube-VOS, whose two groups and G follow, or one line that says why there is no G.
    """
    rows: list[tuple[str, Mapping[str, float]]] = []
    rows += scores.objects.items() if len(scores.objects) <= SHOWN else []
    rows.append((f"Global ({_count(len(scores.objects), 'object')})", scores.global_))
    for name, group in (("Seen", groups.seen), ("Unseen", groups.unseen)) if groups else ():
        if group:
            label = f"{name} ({_count(len(group.objects), 'object')}, {_count(group.classes, 'class', 'es')})"
            rows.append((label, group.row))
    width = max(len(name) for name, _ in [*rows, ("Sequence", {})])
    lines = [f"{'Sequence':<{width}}  " + "  ".join(f"{column:>8}" for column in COLUMNS)]
    lines += [
        f"{name:<{width}}  " + "  ".join(f"{row[column]:>{max(8, len(column))}.3f}" for column in COLUMNS)
        for name, row in rows
    ]
    lines += [_overall(groups)] if groups else []
    if scores.left_out:
        lines.append(f"left out, counted nowhere: {some(list(scores.left_out))}")
    if scores.empty:
        mean = scores.without_empty["J&F-Mean"]
        lines.append(f"without the ids that the ground truth never shows, J&F-Mean {mean:.3f}")
    if scores.skipped:
        lines.append(f"without a scored frame, counted nowhere: {', '.join(scores.skipped)}")
    return "\n".join([f"protocol {scores.protocol}", *lines])


def _count(number: int, what: str, more: str = "s") -> str:
    return f"{number} {what}{'' if number == 1 else more}"


def _overall(groups: SeenUnseen) -> str:
    """One line: G, or why it is not given."""
    overall = groups.values()["G"]
    if overall is None:
        return f"G is not given: {groups.reason}"
    return (
        f"G {overall:.3f}: mean of J-Mean and F-Mean of the seen and the unseen, seen as in {groups.source}"
    )
