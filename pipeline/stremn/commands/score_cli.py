"""Declaration of ``stremn score``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")


@app.callback()
def score() -> None:
    """Score what was saved, by the definitions of the benchmarks."""


@app.command()
def vos(
    predictions: Annotated[
        Path, typer.Option(metavar="DIR", help="Result folder: DIR/SEQUENCE/FRAME.png, object ids.")
    ],
    annotations: Annotated[
        Path, typer.Option(metavar="DIR", help="Ground truth of the same form, such as Annotations/480p.")
    ],
    protocol: Annotated[
        str,
        typer.Option(
            help="Which frames and objects are scored: davis2016, davis2017, youtube-vos or long-video."
        ),
    ],
    sequences: Annotated[
        str | None,
        typer.Option(
            metavar="FILE_OR_NAMES",
            help="Sequences to score: an ImageSets file, a meta.json, or names with commas between; without "
            "it every folder of the annotations.",
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
    frame of a sequence not scored. youtube-vos: an object is scored after its first annotated frame; where
    the categories of the objects are known, J and F of seen and unseen classes and their mean G, too.
    long-video: only the first frame not scored. Missing, damaged or mismatched files stop with one line.

    Example:

    `stremn score vos --predictions results --annotations DAVIS/Annotations/480p --protocol davis2017
    --sequences DAVIS/ImageSets/2017/val.txt --json scores.json`
    """
    from stremn.commands.score import score_vos

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
