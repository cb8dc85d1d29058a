"""J and F of every object in every scored frame of one sequence.

Letters: T frames, H W pixels; an id map holds 0 for the background and 1…objects.
"""

from dataclasses import dataclass

import numpy as np

from stremn.errors import InputError
from stremn.evaluation.bitmask import pack_pairs
from stremn.evaluation.contour import matching_radius, pair_accuracy
from stremn.evaluation.protocols import VOID, Protocol, get_protocol
from stremn.evaluation.region import pair_similarity
from stremn.evaluation.statistics import summary

_CHUNK_PIXELS = 2**23


@dataclass(frozen=True)
class ObjectScores:
    """frames: int (N,) indices of the scored frames; j, f: float64 (N,) in [0, 1]."""

    frames: np.ndarray
    j: np.ndarray
    f: np.ndarray

    def summary(self) -> dict[str, float]:
        """The seven official columns."""
        return summary(self.j, self.f)


def score_sequence(
    predicted_ids: np.ndarray,
    truth_ids: np.ndarray,
    objects: int | None = None,
    protocol: str = "davis2017",
    where: str = "the sequence",
) -> dict[int, ObjectScores]:
    """Per-object J and F of one sequence.

    predicted_ids, truth_ids: integer (T, H, W). objects: how many are scored; None asks the protocol.
    An object that the protocol gives no frame to (never seen, or first seen in the last frame) has
    empty arrays. InputError: shapes differ, an unknown predicted id, too few frames, no object.
    """
    rule = get_protocol(protocol)
    predicted, truth = _checked(predicted_ids, truth_ids, rule, where)
    objects = rule.count_objects(truth) if objects is None else objects
    if objects < 1:
        hint = (
            f" but {VOID}; for masks of 0 and 255 use the protocol davis2016" if (truth == VOID).any() else ""
        )
        raise InputError(f"{where}: expected at least one object in the ground truth, found none{hint}")
    highest = int(predicted.max(initial=0))
    if highest > objects:
        hint = "; for masks of 0 and 255 use the protocol davis2016" if highest == VOID else ""
        raise InputError(f"{where}: unknown id {highest} in the prediction, expected ids 0…{objects}{hint}")
    return {number: _score_object(predicted, truth, number, rule) for number in range(1, objects + 1)}


def _checked(
    predicted: np.ndarray, truth: np.ndarray, rule: Protocol, where: str
) -> tuple[np.ndarray, np.ndarray]:
    predicted, truth = np.asarray(predicted), np.asarray(truth)
    if predicted.ndim != 3 or predicted.shape != truth.shape:
        raise InputError(
            f"{where}: expected predicted and true id maps of one shape (frames, height, width), "
            f"found {predicted.shape} and {truth.shape}"
        )
    if not len(rule.scored_frames(len(truth))):
        least = 3 if rule.drop_last else 2
        raise InputError(f"{where}: {rule.name} needs at least {least} frames, found {len(truth)}")
    if rule.binary:
        return binary_ids(predicted), binary_ids(truth)
    return predicted, truth


def binary_ids(masks: np.ndarray) -> np.ndarray:
    """Id maps of one object: values above 127 are the object; where none is, values above 0."""
    return (masks > (127 if masks.max(initial=0) > 127 else 0)).astype(np.uint8)


def _score_object(predicted: np.ndarray, truth: np.ndarray, number: int, rule: Protocol) -> ObjectScores:
    frames = rule.scored_frames(len(truth), _first_frame(truth, number) if rule.late else 0)
    radius = matching_radius(*truth.shape[1:])
    size = max(1, _CHUNK_PIXELS // max(1, truth[0].size))
    j, f = [], []
    for start in range(0, len(frames), size):
        part = slice(frames[start], frames[start] + min(size, len(frames) - start))
        for pair in pack_pairs(predicted[part] == number, truth[part] == number, radius):
            j.append(pair_similarity(pair))
            f.append(pair_accuracy(pair, radius))
    return ObjectScores(frames, np.array(j), np.array(f))


def _first_frame(truth: np.ndarray, number: int) -> int:
    """First frame that shows the object; the last one where no frame does."""
    seen = (truth == number).any(axis=(1, 2))
    return int(seen.argmax()) if seen.any() else len(truth) - 1
