"""Declaration of ``stremn site``."""

from pathlib import Path
from typing import Annotated

import typer


def site(
    profile: Annotated[str, typer.Option(help="Block of params.yaml whose results are shown.")] = "demo",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the site; without it data/site.")
    ] = None,
    execute: Annotated[
        bool, typer.Option(help="Run the walkthroughs for their results (some minutes).")
    ] = True,
) -> None:
    """Make pages of everything there is to read: walkthroughs, executed notebooks and report of a profile.

    Linked, with a search, read from the folder by any browser without a network. An earlier site in the folder
    is replaced when the new one is complete.

    Example:

    `stremn site --profile demo`
    """
    from stremn.commands.site import site as work

    print(work(profile, out=out, execute=execute))
