"""The commands ``stremn data list``, ``get`` and ``check``. Everything heavy is imported by the one that runs."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from stremn.errors import InputError

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")

Names = Annotated[list[str], typer.Argument(metavar="NAME…", help="Names as in `stremn data list`.")]
Root = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder of raw data; without it data/raw of the project."),
]


@app.callback()
def data() -> None:
    """Datasets and weights of the papers: what there is, getting them, checking them."""


@app.command("list")
def list_command(root: Root = None) -> None:
    """Show every dataset and weight: on disk or not, size to fetch, where from, licence, what for.

    Example:

    `stremn data list`
    """
    from stremn.commands.data import catalogue_table, places_of

    print(catalogue_table(places_of(root)))


@app.command("get")
def get_command(
    names: Names,
    root: Root = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before fetching.")] = False,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Files fetched at a time.")] = 4,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the archives after unpacking.")] = False,
    use: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="Fetch nothing: use the dataset that lies there, in place, read-only."
        ),
    ] = None,
) -> None:
    """Fetch and unpack datasets and weights, or use one that is already on disk.

    What is there is not fetched again, a cut download goes on where it stopped, and nothing is accepted
    whose size or published checksum is wrong. For sets behind a form it says what to do by hand.

    Examples:

    `stremn data get davis-2017 ecssd --yes`

    `stremn data get davis-2016 --use /datasets/DAVIS`
    """
    from stremn.commands import data as work

    places = work.places_of(root)
    if use is not None:
        if len(names) != 1:
            raise InputError(f"expected one NAME with --use, found {len(names)}: give them one by one")
        print(work.link(names[0], places, use))
        return
    entries, text = work.plan(names, places)
    if text and not yes:
        _ask(text)
    try:
        told, missing = work.fetch(entries, places, workers, keep)
    except KeyboardInterrupt:
        print(
            f"\nstopped: partial files are kept in {places.root}; the same command goes on", file=sys.stderr
        )
        raise typer.Exit(130) from None
    print(told)
    if missing:
        raise InputError(
            f"expected all of it on disk, found {', '.join(missing)} to be fetched by hand, as above"
        )


@app.command("check")
def check_command(
    names: Names,
    root: Root = None,
    path: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Look there instead of in the folder of raw data.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Also read every file that was got and compare its hash.")
    ] = False,
) -> None:
    """Say exactly what of a dataset is missing or damaged, and where it belongs.

    Examples:

    `stremn data check youtube-vos-2019`

    `stremn data check davis-2017 --path /datasets/DAVIS`
    """
    from stremn.commands.data import check, places_of

    if path is not None and len(names) != 1:
        raise InputError(f"expected one NAME with --path, found {len(names)}: give them one by one")
    places = places_of(root)
    bad = []
    for name in names:
        text, good = check(name, places, path, full)
        print(text)
        bad += [] if good else [name]
    if bad:
        raise InputError(f"expected complete datasets, found faults in {', '.join(bad)}: see above")


def _ask(text: str) -> None:
    """Show what will be fetched and ask; without a terminal, ``--yes`` is needed."""
    print(text)
    if not sys.stdin.isatty():
        raise InputError("expected --yes where nobody can answer, found none: add it")
    if not typer.confirm("Fetch it?"):
        raise typer.Exit(1)
