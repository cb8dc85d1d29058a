"""``stremn score``."""

import json
import os
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tqdm import tqdm

from stremn.errors import InputError
from stremn.evaluation.folders import check_complete, folders_in, frame_paths, sequence_names
from stremn.evaluation.names import read_names
from stremn.evaluation.official import (
    Rows,
    frame_table,
    full_table,
    official_paths,
    official_tables,
    write_tables,
)
from stremn.evaluation.protocols import Protocol, get_protocol
from stremn.evaluation.statistics import COLUMNS
from stremn.evaluation.vos import VOSScores, score_folder
from stremn.files import replacing

SHOWN = 100  # objects in the table on screen
FRAMES_A_WORKER = 1000  # another process pays from so many frames on


def score_vos(
    predictions: Path,
    annotations: Path,
    *,
    protocol: str,
    sequences: str | None = None,
    json_file: Path | None = None,
    csv: Path | None = None,
    per_frame: bool = False,
    workers: int | None = None,
    overwrite: bool = False,
) -> tuple[str, list[str]]:
    """Score result folders and write what was asked for; returns the table and the warnings, a line each."""
    rule = get_protocol(protocol)
    if per_frame and json_file is None and csv is None:
        raise InputError("expected --json or --csv with --per-frame, found neither: say where to write them")
    results = [*([json_file] if json_file else []), *_csv_paths(csv, per_frame)]
    _check_results(results, overwrite)
    names = sequence_names(annotations, read_names(sequences) if sequences else None)
    notes = _notes(predictions, annotations, names, chosen=sequences is not None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scores = _scored(predictions, annotations, rule, names, workers)
    notes += dict.fromkeys(str(one.message) for one in caught)
    _write(scores, json_file, csv, per_frame)
    written = "".join(f"\nwritten: {path}" for path in results)
    return table(scores) + written, notes


def table(scores: VOSScores) -> str:
    """The seven columns of every object, if they are not too many, and of the whole, as text."""
    rows = list(scores.objects.items()) if len(scores.objects) <= SHOWN else []
    rows.append((f"Global ({len(scores.objects)} objects)", scores.global_))
    width = max(len(name) for name, _ in [*rows, ("Sequence", {})])
    lines = [f"{'Sequence':<{width}}  " + "  ".join(f"{column:>8}" for column in COLUMNS)]
    lines += [
        f"{name:<{width}}  " + "  ".join(f"{row[column]:>{max(8, len(column))}.3f}" for column in COLUMNS)
        for name, row in rows
    ]
    if scores.skipped:
        lines.append(f"without a scored frame, counted nowhere: {', '.join(scores.skipped)}")
    return "\n".join([f"protocol {scores.protocol}", *lines])


def _scored(
    predictions: Path, annotations: Path, rule: Protocol, names: list[str], workers: int | None
) -> VOSScores:
    check_complete(predictions, annotations, names, rule)
    frames = {name: len(frame_paths(annotations, name)) for name in names}
    total = sum(frames.values())
    if workers is None:
        workers = min(_cores(), 1 + total // FRAMES_A_WORKER)
    with tqdm(total=total, desc="score", unit="frame", disable=None, leave=False) as bar:
        return score_folder(
            predictions,
            annotations,
            rule.name,
            names,
            progress=lambda done, of, name: bar.update(frames[name]) and None,
            workers=workers,
        )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _notes(predictions: Path, annotations: Path, names: Sequence[str], *, chosen: bool) -> list[str]:
    notes = []
    if predictions.exists() and predictions.resolve() == annotations.resolve():
        notes.append(f"the predictions are the annotations themselves ({annotations}): every score will be 1")
    others = sorted(set(folders_in(predictions)) - set(names))
    if others and not chosen:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        notes.append(f"not scored, as there is no annotation: {others[0]}{more}")
    return notes


def _csv_paths(csv: Path | None, per_frame: bool) -> list[Path]:
    """One file, or in a folder the official two; with the values of each frame one more."""
    if csv is None:
        return []
    if csv.suffix.lower() == ".csv" and not csv.is_dir():
        return [csv, *([csv.with_name(f"{csv.stem}-per-frame.csv")] if per_frame else [])]
    return [*official_paths(csv), *([csv / "per-frame_results-val.csv"] if per_frame else [])]


def _check_results(paths: list[Path], overwrite: bool) -> None:
    for path in paths:
        if path.is_dir():
            raise InputError(f"expected to write a file {path}, found a folder of that name")
        if path.exists() and not overwrite:
            raise InputError(
                f"expected no result at {path}, found one; add --overwrite to replace it, or choose another name"
            )
    if len(set(paths)) < len(paths):
        raise InputError(f"expected different files for the results, found {paths[0]} twice")


def _write(scores: VOSScores, json_file: Path | None, csv: Path | None, per_frame: bool) -> None:
    """All result files, or on an error none."""
    tables: list[Rows] = []
    if csv is not None:
        one_file = csv.suffix.lower() == ".csv" and not csv.is_dir()
        tables = [full_table(scores)] if one_file else list(official_tables(scores))
        tables += [frame_table(scores)] if per_frame else []
    paths = _csv_paths(csv, per_frame)
    try:
        for path in [*paths, *([json_file] if json_file else [])]:
            path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            if json_file is not None:
                text = json.dumps(scores.to_dict(per_frame=per_frame), indent=1) + "\n"
                stack.enter_context(replacing(json_file)).write_text(text, encoding="utf-8")
            write_tables(zip(paths, tables, strict=True))
    except OSError as error:
        raise InputError(f"expected to write the results, could not: {error}") from None
