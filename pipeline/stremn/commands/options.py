"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

Checkpoint = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Weights (.safetensors); without it those that come with the package."),
]
Device = Annotated[str, typer.Option(help="Where to compute: auto, cpu, cuda, cuda:1, …")]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Do not open the page.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the results of an earlier run in DIR.")]
Plugin = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Python file with memory rules of your own, see CONTRIBUTING.md."),
]
Port = Annotated[int | None, typer.Option(min=1, help="Port of the page; without it any free one.")]
Profile = Annotated[str, typer.Option(help="Block of params.yaml with the settings.")]
Slots = Annotated[int, typer.Option(min=1, help="Number of templates that the memory holds.")]
