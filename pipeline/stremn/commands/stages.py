"""``stremn run``, ``code``, ``log`` and ``report``: stages of the pipeline."""

from pathlib import Path
from typing import Annotated

import typer

from stremn.commands.options import Plugin, Profile
from stremn.errors import InputError

Stage = Annotated[
    str,
    typer.Argument(
        metavar="STAGE",
        help="data, pretrain, finetune, evaluate_vos, train_prediction, evaluate_prediction, memory, "
        "cost or report.",
    ),
]


Data = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Clips of your own with masks, for the stage evaluate_vos."),
]


def run(stage: Stage, profile: Profile = "demo", plugin: Plugin = None, data: Data = None) -> None:
    """Run one stage of the pipeline: its notebook, with the settings of a profile.

    `dvc repro` calls this for every stage that is out of date; that is how the pipeline is usually run.

    With `--plugin` the stage evaluate_vos runs your own memory rules beside all others, on the networks that the
    profile has trained. With `--data` it runs all rules on clips of your own: JPEGImages and Annotations, as DAVIS and
    YouTube-VOS have them, or frames and masks; with the package's network where the profile has trained none. The
    results lie beside the profile's, in `evaluate_vos-NAME`.

    Examples:

    `stremn run data --profile demo`

    `stremn run evaluate_vos --plugin my_rule.py`

    `stremn run evaluate_vos --data my_clips`
    """
    given = {"plugin": plugin, "data": data}
    changes = {name: str(path.resolve()) for name, path in given.items() if path is not None}
    if changes and stage != "evaluate_vos":
        raise InputError(
            f"expected --{next(iter(changes))} with the stage evaluate_vos, found {stage}: leave it out"
        )
    from stremn.run import run_stage

    names = {"plugin": plugin and plugin.stem, "data": data and data.resolve().name}
    beside = "-".join(name for name in names.values() if name)
    print(run_stage(stage, profile, changes=changes, beside=beside))


def code(profile: Profile = "demo") -> None:
    """Write the code of the stages' notebooks as scripts, on which the stages depend in DVC's graph.

    `dvc repro` calls this, so that a notebook that was only opened and saved runs nothing again.

    Example:

    `stremn code --profile demo`
    """
    from stremn import paths
    from stremn.notebooks import write_scripts
    from stremn.stages.base import read_block

    root = paths.find_root()
    read_block(root, profile, "data")  # there is such a profile
    write_scripts(root, paths.code(root, profile))
    print(paths.code(root, profile))


def log() -> None:
    """Log to MLflow what it did not take while a stage ran.

    MLflow's store is `mlflow.db` beside `params.yaml`, or the one that `MLFLOW_TRACKING_URI` names.

    Example:

    `stremn log`
    """
    from stremn import paths, tracking
    from stremn.errors import InputError

    root = paths.find_root()
    refused = []
    for what, error in tracking.send_left(root):
        if error is None:
            print(f"logged {what}")
        else:
            refused.append(f"{what} ({tracking.reason(error, root)})")
    if refused:
        raise InputError(
            f"expected MLflow to take the log of each run, found that it does not of {', '.join(refused)}: mend "
            "that, then call `stremn log` again"
        )


def report(profile: Profile = "demo") -> None:
    """Write the report of a profile again, from what its stages left: tables and figures on one page.

    Example:

    `stremn report --profile demo`
    """
    from stremn.run import run_stage

    print(run_stage("report", profile) / "report.html")
