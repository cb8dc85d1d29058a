"""``stremn score``."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stremn.errors import InputError

if TYPE_CHECKING:
    from stremn.evaluation.classes import Classes, SeenUnseen
    from stremn.evaluation.official import Rows
    from stremn.evaluation.protocols import Protocol
    from stremn.evaluation.vos import VOSScores

FRAMES_A_WORKER = 1000  # another process pays from so many frames on

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")


@app.callback()
def score() -> None:
    """Score what was saved, by the definitions of the benchmarks."""


@app.command()
def vos(
    predictions: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="Result folder: DIR/SEQUENCE/FRAME.png, object ids; or DIR/SEQUENCE/masks/FRAME.png, or one "
            "sequence's DIR of `stremn segment`.",
        ),
    ],
    annotations: Annotated[
        Path, typer.Option(metavar="DIR", help="Ground truth of the same form, such as Annotations/480p.")
    ],
    protocol: Annotated[
        str,
        typer.Option(
            help="Which frames and objects are scored: davis2016, davis2017, procedural, youtube-vos or "
            "long-video (long)."
        ),
    ],
    sequences: Annotated[
        str | None,
        typer.Option(
            metavar="FILE_OR_NAMES",
            help="Sequences to score: a file with one name a line (ImageSets), a meta.json, or names with commas "
            "between; without it every folder of the annotations.",
        ),
    ] = None,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write all columns, global and of each object, here.")
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR_OR_FILE",
            help="Write into this folder the two files of the DAVIS tool, three decimals; or, with a name "
            "that ends in .csv, one file with all columns of every object.",
        ),
    ] = None,
    per_frame: Annotated[
        bool, typer.Option("--per-frame", help="J and F of every frame, too, in the JSON and the CSV.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Processes side by side; without it as many as pay."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace result files of that name.")
    ] = False,
    meta: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="youtube-vos: meta.json with the category of every object; without it the one beside the "
            "annotations.",
        ),
    ] = None,
    seen: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="youtube-vos: categories of the training set, one a line, or its meta.json; without it "
            "train/meta.json of the same dataset.",
        ),
    ] = None,
) -> None:
    """Score segmentations: J (region similarity), F (contour accuracy), their recall and decay.

    The definitions and numbers are those of the DAVIS 2017 evaluation. davis2016, davis2017: first and last
    frame of a sequence not scored. procedural: only the first frame not scored, and objects may come late.
    youtube-vos: an object is scored after its first annotated frame; where
    the categories of the objects are known, J and F of seen and unseen classes and their mean G, too.
    long-video: only the first frame not scored. Missing, damaged or mismatched files stop with one line; a
    sequence too short to score is named and left out. Where ids have gaps, DAVIS counts those in between as
    objects: the numbers are the official ones, and a warning says what they are without.

    Example:

    `stremn score vos --predictions results --annotations DAVIS/Annotations/480p --protocol davis2017
    --sequences DAVIS/ImageSets/2017/val.txt --json scores.json`
    """
    text, notes = score_vos(
        predictions,
        annotations,
        protocol=protocol,
        sequences=sequences,
        json_file=json,
        csv=csv,
        per_frame=per_frame,
        workers=workers,
        overwrite=overwrite,
        meta=meta,
        seen=seen,
    )
    for note in notes:
        print(f"warning: {note}", file=sys.stderr)
    print(text)


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
    import warnings

    from stremn.evaluation.classes import find_classes
    from stremn.evaluation.folders import SEGMENTED, is_segmented, mask_files, sequence_names
    from stremn.evaluation.names import read_names
    from stremn.evaluation.official import csv_files, text_table
    from stremn.evaluation.protocols import get_protocol

    rule = get_protocol(protocol)
    if per_frame and json_file is None and csv is None:
        raise InputError("expected --json or --csv with --per-frame, found neither: say where to write them")
    if (meta or seen) and not rule.classes:
        raise InputError(
            f"expected --protocol youtube-vos with --meta and --seen, found {rule.name}: choose it, or leave them off"
        )
    wanted = read_names(sequences) if sequences else None
    if is_segmented(predictions) and not (annotations / SEGMENTED).is_dir():  # one video
        if mask_files(annotations):
            annotations, wanted = annotations.resolve().parent, [annotations.resolve().name]
        wanted = _only_one(predictions, annotations, wanted)
    names = sequence_names(annotations, wanted)
    classes = find_classes(annotations, names, meta, seen) if rule.classes else ""
    files = csv_files(csv, per_frame, known=not isinstance(classes, str))
    results = [*([json_file] if json_file else []), *(path for path, _ in files)]
    _check_results(results, overwrite)
    notes = _notes(predictions, annotations, names, chosen=wanted is not None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scores = _scored(predictions, annotations, rule, names, workers)
    notes += dict.fromkeys(str(one.message) for one in caught)
    groups = _groups(scores, classes, given=bool(meta or seen)) if rule.classes else None
    form = scores.to_dict(per_frame=per_frame) | ({"youtube-vos": groups.to_dict()} if groups else {})
    _write(json_file, form, [(path, rows(scores, groups)) for path, rows in files])
    written = "".join(f"\nwritten: {path}" for path in results)
    return text_table(scores, groups) + written, notes


def _only_one(predictions: Path, annotations: Path, wanted: list[str] | None) -> list[str]:
    """The sequence that the masks of one video are of: the one that is named, or that of the folder's name."""
    from stremn.listing import folders_in, some

    known = folders_in(annotations)
    names = wanted or [name for name in known if name == predictions.resolve().name] or known
    if len(names) > 1:
        raise InputError(
            f"expected one sequence for the masks of one video in {predictions}, found {some(names)}: name it with "
            "--sequences"
        )
    return names


def _groups(scores: "VOSScores", classes: "Classes | str", *, given: bool) -> "SeenUnseen":
    """The objects by class. given: what does not fit is an error, as a person named the files."""
    from stremn.evaluation.classes import SeenUnseen, seen_unseen

    try:
        return SeenUnseen(reason=classes) if isinstance(classes, str) else seen_unseen(scores, classes)
    except InputError as error:
        if given:
            raise
        return SeenUnseen(reason=str(error))


def _scored(
    predictions: Path, annotations: Path, rule: "Protocol", names: list[str], workers: int | None
) -> "VOSScores":
    from tqdm import tqdm

    from stremn.evaluation.folders import check_complete, frame_paths
    from stremn.evaluation.vos import score_folder

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
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _notes(predictions: Path, annotations: Path, names: Sequence[str], *, chosen: bool) -> list[str]:
    from stremn.listing import folders_in

    notes = []
    if predictions.exists() and predictions.resolve() == annotations.resolve():
        notes.append(f"the predictions are the annotations themselves ({annotations}): every score will be 1")
    others = sorted(set(folders_in(predictions)) - set(names))
    if others and not chosen:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        notes.append(f"not scored, as there is no annotation: {others[0]}{more}")
    return notes


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


def _write(json_file: Path | None, form: dict[str, Any], tables: "list[tuple[Path, Rows]]") -> None:
    """All result files, or on an error none."""
    import json
    from contextlib import ExitStack

    from stremn.evaluation.official import write_tables
    from stremn.files import replacing

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
