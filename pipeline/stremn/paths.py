"""Where things lie below the repository's root."""

import os
from pathlib import Path

from stremn.errors import InputError

MARKER = "params.yaml"


def find_root(start: Path | None = None) -> Path:
    """The nearest folder upwards that holds ``params.yaml``."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / MARKER).is_file():
            return folder
    raise InputError(
        f"expected to be inside the project (a folder with {MARKER}), found {here}; change into it"
    )


def store_root(root: Path) -> Path:
    """The real repository: a queued DVC experiment runs in a copy below ``.dvc/tmp/exps``."""
    parts = root.resolve().parts
    if "exps" in parts and ".dvc" in parts[: parts.index("exps")]:
        return Path(*parts[: parts.index(".dvc")])
    return root


def raw(root: Path) -> Path:
    """Acquired data and weights, by their name in the catalogue."""
    return store_root(root) / "data" / "raw"


def prepared(root: Path, profile: str) -> Path:
    """Data of a profile, ready to be used."""
    return root / "data" / "prepared" / profile


def code(root: Path, profile: str) -> Path:
    """Scripts of the stages' notebooks."""
    return root / "data" / "code" / profile


def runs(root: Path, profile: str) -> Path:
    """Outputs of a profile's stages."""
    return root / "data" / "runs" / profile


def output(root: Path, profile: str, stage: str) -> Path:
    """Output folder of a stage; the data stage's is the prepared data."""
    return prepared(root, profile) if stage == "data" else runs(root, profile) / stage


def resume(root: Path, profile: str, stage: str, network: str) -> Path:
    """Resumable checkpoints of a network's training, outside of every stage's outputs."""
    return store_root(root) / "data" / "runs" / ".resume" / f"{profile}-{stage}-{network}"


def relative(path: Path, root: Path) -> str:
    """A path as a person reads it."""
    return os.path.relpath(path, root)


def network(folder: Path, name: str) -> Path:
    """Weights of a network in the outputs of a training stage."""
    return folder / "networks" / name / "model.safetensors"


def networks(folder: Path) -> list[str]:
    """Names of the networks in the outputs of a training stage; InputError if there are none."""
    names = sorted(path.parent.name for path in folder.glob("networks/*/model.safetensors"))
    if not names:
        raise InputError(f"expected trained networks in {folder}, found none; run the stage {folder.name!r}")
    return names
