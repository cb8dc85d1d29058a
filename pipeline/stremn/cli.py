"""The command line ``stremn``. Everything heavy is imported by the command that needs it."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from stremn import __version__
from stremn.commands.data import app as data_app
from stremn.commands.score import app as score_app
from stremn.commands.segment_cli import segment
from stremn.commands.site import site
from stremn.commands.submit import app as submit_app
from stremn.errors import InputError

app = typer.Typer(
    name="stremn",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Video = Annotated[
    Path,
    typer.Argument(metavar="VIDEO_OR_FOLDER", help="A video file, or a folder of images in natural order."),
]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Folder for the results; new, or empty.")]
Checkpoint = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Weights (.safetensors); without it those that come with the package."),
]
Device = Annotated[str, typer.Option(help="Where to compute: auto, cpu, cuda, cuda:1, …")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the results of an earlier run in DIR.")]


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Show the version and stop.")] = False,
) -> None:
    """STReMN: segment objects in videos, and predict how videos go on, with a memory of a few slots.

    Start with `stremn info`, then with `stremn segment`. Each command explains itself:
    `stremn segment --help`.
    """
    if version:
        print(f"stremn {__version__}")
        raise typer.Exit


app.command()(segment)


@app.command()
def predict(
    video: Video,
    out: Out,
    checkpoint: Checkpoint = None,
    observed: Annotated[int, typer.Option(min=1, help="Frames to watch.")] = 10,
    frames: Annotated[int, typer.Option(min=1, help="Frames to predict.")] = 20,
    start: Annotated[int, typer.Option(min=0, help="Number of the first frame to watch, from 0.")] = 0,
    slots: Annotated[int, typer.Option(min=1, help="Number of templates that the memory holds.")] = 5,
    device: Device = "cpu",
    overwrite: Overwrite = False,
) -> None:
    """Watch some frames of a video and predict the next ones, in grey and at the checkpoint's size.

    Writes `DIR/predicted/*.png` (named by their number in the video), `DIR/strip.png` (observed, true
    and predicted frames side by side) and `DIR/trace.json` (what happened in the memory).

    Example:

    `stremn predict walk.mp4 --out walk --checkpoint data/runs/demo/train_prediction/networks/stremn/model.safetensors`
    """
    from stremn.commands.predict import predict as work

    print(
        work(
            video,
            out,
            checkpoint=checkpoint,
            observed=observed,
            predicted=frames,
            start=start,
            slots=slots,
            device=device,
            overwrite=overwrite,
        )
    )


@app.command()
def run(
    stage: Annotated[
        str,
        typer.Argument(
            metavar="STAGE",
            help="data, pretrain, finetune, evaluate_vos, train_prediction, evaluate_prediction, memory, "
            "cost or report.",
        ),
    ],
    profile: Annotated[str, typer.Option(help="Block of params.yaml with the settings.")] = "demo",
) -> None:
    """Run one stage of the pipeline: its notebook, with the settings of a profile.

    `dvc repro` calls this for every stage that is out of date; that is how the pipeline is usually run.

    Example:

    `stremn run data --profile demo`
    """
    from stremn.run import run_stage

    print(run_stage(stage, profile))


@app.command()
def report(
    profile: Annotated[str, typer.Option(help="Block of params.yaml with the settings.")] = "demo",
) -> None:
    """Write the report of a profile again, from what its stages left: tables and figures on one page.

    Example:

    `stremn report --profile demo`
    """
    from stremn.run import run_stage

    print(run_stage("report", profile) / "report.html")


app.command()(site)


@app.command()
def systems() -> None:
    """List every system and memory rule of the papers: its memory, its size and where it is implemented."""
    from rich.console import Console

    from stremn.commands.systems import systems as work

    console = Console()
    for table in work():
        console.print(table, "")


@app.command()
def info() -> None:
    """Show the devices of this machine, the versions of the packages, and which weights are found."""
    from stremn.commands.info import info as work

    print(work())


app.add_typer(data_app, name="data")


@app.command()
def explore(
    video: Annotated[
        Path | None,
        typer.Argument(
            metavar="[VIDEO]", help="A video file or a folder of images; without it a generated clip."
        ),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(metavar="PNG", help="Mask of the first frame; without one it is drawn in the page."),
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of true masks, one for each frame.")
    ] = None,
    trace: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A trace: DIR of `stremn segment`, a file of the stage memory, or runs:/RUN/ARTIFACT.",
        ),
    ] = None,
    checkpoint: Checkpoint = None,
    policy: Annotated[str | None, typer.Option(help="Rule of the memory, see `stremn segment`.")] = None,
    slots: Annotated[int, typer.Option(min=1, help="Number of templates that the memory holds.")] = 6,
    size: Annotated[
        int | None, typer.Option(min=16, metavar="PIXELS", help="Shorter side at which frames are looked at.")
    ] = None,
    device: Device = "cpu",
    predictor: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Weights of a predictor, for the tab Prediction.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, help="Port of the page; without it any free one.")
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open the page.")] = False,
) -> None:
    """Look into the memory in the browser: what it keeps, where it reads, what if it kept something else.

    Serves a page on this machine only, with a token as Jupyter does, until Ctrl-C. The same explorer is in
    `notebooks/explore/memory.ipynb`.

    Examples:

    `stremn explore dog.mp4 --mask dog.png`

    `stremn explore dog.mp4 --trace results/dog`
    """
    from stremn.commands.explore import explore as work

    work(
        video,
        mask=mask,
        truth=truth,
        trace=trace,
        checkpoint=checkpoint,
        policy=policy,
        slots=slots,
        size=size,
        device=device,
        predictor=predictor,
        port=port,
        browser=not no_browser,
    )


app.add_typer(score_app, name="score")
app.add_typer(submit_app, name="submit")


def main(arguments: list[str] | None = None) -> int:
    """The entry point; returns the exit code.

    0: done. 2: bad input, told in one line on stderr. 130: stopped by Ctrl-C. Anything else raises.
    """
    try:
        app(args=arguments, prog_name="stremn")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
