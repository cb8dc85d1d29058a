"""``stremn score``."""

import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tqdm import tqdm

from stremn.errors import InputError
from stremn.evaluation.classes import Classes, SeenUnseen, find_classes, seen_unseen
from stremn.evaluation.folders import check_complete, folders_in, frame_paths, sequence_names
from stremn.evaluation.names import read_names
from stremn.evaluation.official import (
    Rows,
    class_table,
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

Make = Callable[[VOSScores, SeenUnseen | None], Rows]
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
    meta: Path | None = None,
    seen: Path | None = None,
) -> tuple[str, list[str]]:
    """Score result folders and write what was asked for; returns the table and the warnings, a line each."""
    rule = get_protocol(protocol)
    if per_frame and json_file is None and csv is None:
        raise InputError("expected --json or --csv with --per-frame, found neither: say where to write them")
    if (meta or seen) and not rule.classes:
        raise InputError(
            f"expected --protocol youtube-vos with --meta and --seen, found {rule.name}: choose it, or leave them off"
        )
    names = sequence_names(annotations, read_names(sequences) if sequences else None)
    classes = find_classes(annotations, names, meta, seen) if rule.classes else ""
    files = _csv_files(csv, per_frame, known=isinstance(classes, Classes))
    results = [*([json_file] if json_file else []), *(path for path, _ in files)]
    _check_results(results, overwrite)
    notes = _notes(predictions, annotations, names, chosen=sequences is not None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scores = _scored(predictions, annotations, rule, names, workers)
    notes += dict.fromkeys(str(one.message) for one in caught)
    groups = _groups(scores, classes, given=bool(meta or seen)) if rule.classes else None
    form = scores.to_dict(per_frame=per_frame) | ({"youtube-vos": groups.to_dict()} if groups else {})
    _write(json_file, form, [(path, rows(scores, groups)) for path, rows in files])
    written = "".join(f"\nwritten: {path}" for path in results)
    return table(scores, groups) + written, notes


def table(scores: VOSScores, groups: SeenUnseen | None = None) -> str:
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
    lines += [_told(groups)] if groups else []
    if scores.skipped:
        lines.append(f"without a scored frame, counted nowhere: {', '.join(scores.skipped)}")
    return "\n".join([f"protocol {scores.protocol}", *lines])


def _count(number: int, what: str, more: str = "s") -> str:
    return f"{number} {what}{'' if number == 1 else more}"


def _told(groups: SeenUnseen) -> str:
    """One line: G, or why it is not given."""
    overall = groups.values()["G"]
    if overall is None:
        return f"G is not given: {groups.reason}"
    return (
        f"G {overall:.3f}: mean of J-Mean and F-Mean of the seen and the unseen, seen as in {groups.source}"
    )


def _groups(scores: VOSScores, classes: Classes | str, *, given: bool) -> SeenUnseen:
    """The objects by class. given: what does not fit is an error, as a person named the files."""
    try:
        return SeenUnseen(reason=classes) if isinstance(classes, str) else seen_unseen(scores, classes)
    except InputError as error:
        if given:
            raise
        return SeenUnseen(reason=str(error))


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


def _csv_files(csv: Path | None, per_frame: bool, *, known: bool) -> list[tuple[Path, Make]]:
    """One file, or in a folder the official two; one more for the values of each frame, one for G if known."""
    if csv is None:
        return []
    if csv.suffix.lower() == ".csv" and not csv.is_dir():
        files: list[tuple[Path, Make]] = [(csv, lambda scores, _: full_table(scores))]
        digits, frames, classes = 9, csv.stem + "-per-frame.csv", csv.stem + "-youtube-vos.csv"
        folder = csv.parent
    else:
        overall, objects = official_paths(csv)
        files = [(overall, lambda scores, _: official_tables(scores)[0])]
        files += [(objects, lambda scores, _: official_tables(scores)[1])]
        digits, frames, classes = 3, "per-frame_results-val.csv", "youtube-vos_results-val.csv"
        folder = csv
    if per_frame:
        files.append((folder / frames, lambda scores, _: frame_table(scores)))
    if known:
        files.append((folder / classes, lambda _, groups: class_table(groups, digits)))
    return files


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


def _write(json_file: Path | None, form: dict[str, Any], tables: list[tuple[Path, Rows]]) -> None:
    """All result files, or on an error none."""
    try:
        for path in [*(path for path, _ in tables), *([json_file] if json_file else [])]:
            path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            if json_file is not None:
                text = json.dumps(form, indent=1) + "\n"
                stack.enter_context(replacing(json_file)).write_text(text, encoding="utf-8")
            write_tables(tables)
    except OSError as error:
        raise InputError(f"expected to write the results, could not: {error}") from None
