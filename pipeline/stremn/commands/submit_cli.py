"""Declaration of ``stremn submit``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")


@app.callback()
def submit() -> None:
    """Pack results for the servers of benchmarks, after a check of every file."""


@app.command()
def vos(
    predictions: Annotated[
        Path, typer.Option(metavar="DIR", help="Result folder: DIR/SEQUENCE/FRAME.png, palette PNGs.")
    ],
    benchmark: Annotated[
        str, typer.Option(help="davis2017-test-dev, youtube-vos2018 or youtube-vos2019 (validation).")
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.zip", help="The archive.")],
    reference: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The benchmark's list: ImageSets/2017/test-dev.txt or meta.json, best where the dataset lies "
            "around it; sequences, frames, sizes and object ids are compared with it.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an archive of that name.")] = False,
) -> None:
    """Make the archive that a benchmark's server takes, if every mask is as it must be.

    The first thing that is wrong stops with one line, and nothing is written. The same masks always give
    the same bytes. Of YouTube-VOS only the frames that are scored (6 frames a second) are packed.

    Example:

    `stremn submit vos --predictions results --benchmark youtube-vos2019 --out results.zip
    --reference YouTubeVOS/valid/meta.json`
    """
    from stremn.commands.submit import submit_vos

    text, notes = submit_vos(
        predictions, benchmark=benchmark, out=out, reference=reference, overwrite=overwrite
    )
    for note in notes:
        print(f"warning: {note}", file=sys.stderr)
    print(text)
