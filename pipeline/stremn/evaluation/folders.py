"""Result folders: ``<root>/<sequence>/<frame>.png``, the object id being the palette index."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from stremn.errors import InputError
from stremn.evaluation.protocols import Protocol
from stremn.evaluation.sequences import binary_ids


def read_ids(path: Path) -> np.ndarray:
    """Object ids (H, W) uint8 of a palette or grey PNG; InputError when it is neither."""
    try:
        with Image.open(path) as image:
            if image.mode in ("P", "L", "1"):
                return np.array(image, dtype=np.uint8)
            found = f"mode {image.mode}"
    except FileNotFoundError:
        raise InputError(f"expected a mask at {path}, found no file") from None
    except (UnidentifiedImageError, OSError) as error:
        found = str(error)
    raise InputError(f"{path}: expected a palette or grey PNG of object ids, found {found}")


def sequence_names(annotations: Path, names: Sequence[str] | None = None) -> list[str]:
    """Sequences to score: the folders of ``annotations``, or ``names``, each of which must be one."""
    if not annotations.is_dir():
        raise InputError(f"expected a folder of annotations at {annotations}, found none")
    present = sorted(path.name for path in annotations.iterdir() if path.is_dir())
    if not present:
        raise InputError(f"{annotations}: expected a folder for each sequence, found none")
    missing = sorted(set(names or ()) - set(present))
    if missing:
        raise InputError(f"{annotations}: no sequence {', '.join(missing)} (there are {', '.join(present)})")
    return present if names is None else list(names)


def read_sequence(
    predictions: Path, annotations: Path, name: str, rule: Protocol
) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and true id maps, uint8 (T, H, W), of the annotated frames of one sequence.

    A prediction must exist for every scored frame; elsewhere it may be absent and counts as empty.
    """
    paths = sorted((annotations / name).glob("*.png"))
    if not paths:
        raise InputError(f"{annotations / name}: expected annotated frames (*.png), found none")
    folder = predictions / name
    if not folder.is_dir():
        raise InputError(f"sequence {name}: expected predictions in {folder}, found no such folder")
    truth = _stack(paths, read_ids(paths[0]).shape)
    scored = set(rule.scored_frames(len(paths)).tolist())
    predicted = np.zeros_like(truth)
    for t, path in enumerate(paths):
        if t in scored or (folder / path.name).is_file():
            predicted[t] = _same_size(folder / path.name, truth.shape[1:])
    if rule.binary:
        _note_binary(predicted)
        return binary_ids(predicted), binary_ids(truth)
    return predicted, truth


def _stack(paths: list[Path], shape: tuple[int, ...]) -> np.ndarray:
    return np.stack([_same_size(path, shape) for path in paths])


def _same_size(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    ids = read_ids(path)
    if ids.shape != shape:
        raise InputError(
            f"{path}: expected {shape[1]}×{shape[0]} pixels as in the annotations, "
            f"found {ids.shape[1]}×{ids.shape[0]}"
        )
    return ids


def _note_binary(predicted: np.ndarray) -> None:
    if predicted.max(initial=0) > 1:
        warnings.warn(
            "predicted masks hold values above 1: values above 127 are read as object 1", stacklevel=2
        )
