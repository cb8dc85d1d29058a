"""``stremn run`` and ``stremn report``: stages of the pipeline."""

from typing import Annotated

import typer

from stremn.commands.options import Profile

Stage = Annotated[
    str,
    typer.Argument(
        metavar="STAGE",
        help="data, pretrain, finetune, evaluate_vos, train_prediction, evaluate_prediction, memory, "
        "cost or report.",
    ),
]


def run(stage: Stage, profile: Profile = "demo") -> None:
    """Run one stage of the pipeline: its notebook, with the settings of a profile.

    `dvc repro` calls this for every stage that is out of date; that is how the pipeline is usually run.

    Example:

    `stremn run data --profile demo`
    """
    from stremn.run import run_stage

    print(run_stage(stage, profile))


def report(profile: Profile = "demo") -> None:
    """Write the report of a profile again, from what its stages left: tables and figures on one page.

    Example:

    `stremn report --profile demo`
    """
    from stremn.run import run_stage

    print(run_stage("report", profile) / "report.html")
