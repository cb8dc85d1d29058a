"""Result folders: ``<root>/<sequence>/<frame>.png``, the object id being the palette index."""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from stremn.data.clips import read_stored_ids
from stremn.errors import InputError, nearest
from stremn.evaluation.protocols import Protocol
from stremn.evaluation.sequences import ObjectScores, SequenceScorer
from stremn.listing import by_stem, entries, files_in, folders_in, some

SEGMENTED = "masks"  # in the folder of ``stremn segment``


def sequence_names(annotations: Path, names: Sequence[str] | None = None) -> list[str]:
    """Sequences to score: the folders of ``annotations``, or ``names``, each of which must be one."""
    if not annotations.is_dir():
        raise InputError(f"expected a folder of annotations at {annotations}, found none")
    if (annotations / "Annotations").is_dir():
        raise InputError(
            f"{annotations}: expected a folder for each sequence, found a dataset; give the folder of its "
            "masks, such as Annotations/480p"
        )
    present = folders_in(annotations)
    if not present:
        raise InputError(f"{annotations}: expected a folder for each sequence, found none")
    missing = [name for name in names or () if name not in present]
    if missing:
        raise InputError(
            f"{annotations}: no sequence {some(missing)} (there are {some(present)}){nearest(missing[0], present)}"
        )
    return present if names is None else list(dict.fromkeys(names))


def result_folder(predictions: Path, name: str) -> Path:
    """Where the masks of a sequence lie: in its folder, or where ``stremn segment`` wrote them (``masks`` in it).

    ``predictions`` may be that of one video, whatever its name.
    """
    own = predictions / name
    if is_segmented(own) or (is_segmented(predictions) and not own.is_dir()):
        return (own if is_segmented(own) else predictions) / SEGMENTED
    return own


def is_segmented(folder: Path) -> bool:
    """Whether ``stremn segment`` wrote this folder."""
    return bool(mask_files(folder / SEGMENTED)) and not mask_files(folder)


def mask_files(folder: Path) -> dict[str, Path]:
    """PNG files of a sequence by frame, in natural order; none where there is no folder."""
    return by_stem(files_in(folder, (".png",)))


def frame_paths(annotations: Path, name: str) -> list[Path]:
    """The annotated frames of a sequence, in order; InputError where there are none."""
    paths = list(mask_files(annotations / name).values())
    if not paths:
        raise InputError(f"{annotations / name}: expected annotated frames (*.png), found none")
    return paths


def check_complete(predictions: Path, annotations: Path, names: Sequence[str], rule: Protocol) -> None:
    """InputError when a prediction that will be scored is missing: told before any work is done.

    A sequence of which no frame is scored needs none.
    """
    inside = folders_in(predictions)
    if not inside:
        raise InputError(f"{predictions}: expected a folder with one folder for each sequence, found none")
    paths = {name: frame_paths(annotations, name) for name in names}
    scored = {name: [p[t].stem for t in rule.scored_frames(len(p))] for name, p in paths.items()}
    missing = [name for name in names if scored[name] and not result_folder(predictions, name).is_dir()]
    if missing:
        deeper = [one for one in inside if (predictions / one / missing[0]).is_dir()]
        advice = (
            f"give {predictions / deeper[0]}"
            if deeper
            else "to score some sequences only, name them (an ImageSets file or names)"
        )
        raise InputError(
            f"sequence {some(missing)}: expected a folder for each in {predictions}, found none; {advice}"
        )
    for name, wanted in scored.items():
        if wanted:
            _check_frames(result_folder(predictions, name), wanted)


def _check_frames(folder: Path, wanted: list[str]) -> None:
    """InputError when the mask of one of these frames is missing in a sequence's folder; what is there is named."""
    present = [path.name for path in entries(folder)]
    if not present:
        raise InputError(f"sequence {folder.name}: expected predictions in {folder}, found it empty")
    masks = mask_files(folder)
    absent = [stem for stem in wanted if stem not in masks]
    if not absent:
        return
    found = "no file"
    if len(absent) == len(wanted) and all((folder / name).is_dir() for name in present):
        found = (
            f"the folders {some(present, 3)}: write one mask a frame, an object's id as the value of its pixels, "
            "in place of a folder for each object"
        )
    elif len(absent) == len(wanted):
        found = f"{some(present, 3)}: name the masks as the annotations are named"
    raise InputError(
        f"expected a mask at {folder / absent[0]}.png, found {found} "
        f"({len(absent)} of {len(wanted)} scored frames of {folder.name} are missing)"
    )


def score_sequence_folder(
    predictions: Path, annotations: Path, name: str, rule: Protocol
) -> dict[int, ObjectScores]:
    """J and F of the objects of one sequence, read frame after frame.

    A prediction must exist for every scored frame; elsewhere it may be absent and counts as empty.
    """
    paths = frame_paths(annotations, name)
    scorer = SequenceScorer([path.stem for path in paths], rule, f"sequence {name}")
    high = False
    for predicted, truth in _pairs(result_folder(predictions, name), paths, rule):
        if rule.binary and predicted is not None:
            high = high or predicted.max(initial=0) > 1
        scorer.add(predicted, truth)
    if high:
        warnings.warn(
            "predicted masks hold values above 1: values above 127 are read as object 1", stacklevel=2
        )
    return scorer.result()


def _pairs(folder: Path, paths: list[Path], rule: Protocol) -> Iterator[tuple[np.ndarray | None, np.ndarray]]:
    """Prediction, None where there is none and none is needed, and truth of every annotated frame."""
    scored = set(rule.scored_frames(len(paths)).tolist())
    masks = mask_files(folder)
    shape: tuple[int, ...] | None = None
    for t, path in enumerate(paths):
        truth = read_stored_ids(path)
        shape = shape or truth.shape
        _check_size(path, truth, shape)
        ours = masks.get(path.stem, folder / path.name)
        predicted = read_stored_ids(ours) if t in scored or path.stem in masks else None
        if predicted is not None:
            _check_size(ours, predicted, shape)
        yield predicted, truth


def _check_size(path: Path, ids: np.ndarray, shape: tuple[int, ...]) -> None:
    if ids.shape != shape:
        raise InputError(
            f"{path}: expected {shape[1]}×{shape[0]} pixels as in the annotations, "
            f"found {ids.shape[1]}×{ids.shape[0]}"
        )
