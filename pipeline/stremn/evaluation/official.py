"""Result files with the names and columns of the DAVIS 2017 evaluation tool."""

import csv
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from stremn.evaluation.classes import SeenUnseen
from stremn.evaluation.statistics import COLUMNS
from stremn.evaluation.vos import VOSScores
from stremn.files import replacing

Rows = Iterable[Sequence[object]]


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


def write_tables(tables: Iterable[tuple[Path, Rows]]) -> None:
    """Write CSV files, all of them or, on an error, none; their folders must exist."""
    with ExitStack() as stack:
        for path, rows in tables:
            with stack.enter_context(replacing(path)).open("w", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerows(rows)
