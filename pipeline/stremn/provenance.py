"""Where a run's numbers come from: commit, experiment, data; what a log says beside them."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stremn import fingerprint, paths

BASELINE, EXPERIMENT = "DVC_EXP_BASELINE_REV", "DVC_EXP_NAME"  # set by DVC for the stages of an experiment


def origin(root: Path, profile: str, stage: str, changes: Mapping[str, Any], beside: str) -> dict[str, Any]:
    """Tags of a run, the name of its experiment if it has one, and the data that it saw.

    Args:
        changes: settings that replace those of ``params.yaml``.
        beside: what the results are called that lie beside the profile's.
    """
    experiment = beside or os.environ.get(EXPERIMENT, "")
    name, digest = profile, data_fingerprint(root, profile)
    if "data" in changes:
        name, digest = Path(changes["data"]).name, fingerprint.of_names(Path(changes["data"]))
    tags = {"commit": commit(root), "experiment": experiment, "data": digest}
    tags["mlflow.source.name"] = f"stremn run {stage} --profile {profile}"
    tags["mlflow.source.type"] = "LOCAL"
    tags["mlflow.source.git.commit"] = tags["commit"].partition("-")[0]
    found: dict[str, Any] = {"tags": {key: value for key, value in tags.items() if value}}
    found |= {"experiment": experiment} if experiment else {}
    return found | ({"data": {"name": name, "digest": digest}} if digest else {})


def data_fingerprint(root: Path, profile: str) -> str:
    """Of all data that a profile has prepared; the empty text where there is none."""
    return fingerprint.of_file(paths.output(root, profile, "data") / "manifest.json")


def commit(root: Path) -> str:
    """The commit that the code is of, ``-changed`` behind it where files differ; the empty text without git.

    In an experiment of DVC, which runs on commits of its own, it is the one that the experiment began from.
    """
    if not (root / ".git").exists():
        return ""
    head = os.environ.get(BASELINE) or _git(root, "rev-parse", "HEAD")
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    return f"{head}-changed" if head and changed else head


def _git(root: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
