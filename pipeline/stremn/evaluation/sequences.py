"""J and F of every object in every scored frame of one sequence.

Letters: T frames, H W pixels; an id map holds 0 for the background and 1…objects.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stremn.data.clips import VOID
from stremn.errors import InputError
from stremn.evaluation.bitmask import Packer
from stremn.evaluation.contour import matching_radius, packed_accuracy
from stremn.evaluation.protocols import Protocol, get_protocol
from stremn.evaluation.region import packed_similarity
from stremn.evaluation.statistics import summary

BINARY_HINT = "; for masks of 0 and 255 use the protocol davis2016"


@dataclass(frozen=True)
class ObjectScores:
    """frames: int (N,) indices of the scored frames; j, f: float64 (N,) in [0, 1]."""

    frames: np.ndarray
    j: np.ndarray
    f: np.ndarray

    def summary(self) -> dict[str, float]:
        """The seven official columns."""
        return summary(self.j, self.f)


class SequenceScorer:
    """Scores a sequence frame after frame, so that its length costs no memory.

    Args:
        labels: a name for every annotated frame, for messages.
        rule: which frames and objects are scored.
        where: what the sequence is called in messages.
        objects: how many are scored; None asks the protocol.

    Raises InputError when the protocol scores none of so few frames.
    """

    def __init__(
        self, labels: Sequence[str], rule: Protocol, where: str = "the sequence", objects: int | None = None
    ) -> None:
        self._labels, self._rule, self._where, self._given = labels, rule, where, objects
        self._scored = set(rule.scored_frames(len(labels)).tolist())
        if not self._scored:
            least = 3 if rule.drop_last else 2
            raise InputError(f"{where}: {rule.name} needs at least {least} frames, found {len(labels)}")
        self._t = 0
        self._first: dict[int, int] = {}
        self._values: dict[int, list[tuple[int, float, float]]] = {}
        self._highest = (0, 0)
        self._void = False
        self._packer: Packer | None = None

    def add(self, predicted_HW: np.ndarray | None, truth_HW: np.ndarray) -> None:
        """The next frame, integer ids (H, W) both; an absent prediction (None) counts as empty."""
        truth = binary_ids(truth_HW) if self._rule.binary else truth_HW
        predicted = np.zeros_like(truth) if predicted_HW is None else predicted_HW
        predicted = self._known(binary_ids(predicted) if self._rule.binary else predicted, truth)
        if self._t in self._scored:
            for number in self._first:
                self._score(number, predicted, truth)
        if self._rule.late or not self._t:
            self._meet(truth)
        self._t += 1

    def result(self) -> dict[int, ObjectScores]:
        """The scores of objects 1…N; one that the protocol gives no frame to has empty arrays.

        InputError: no object in the ground truth, an id in the prediction that the ground truth has not.
        """
        objects = max(self._first, default=0) if self._given is None else self._given
        if objects < 1:
            hint = f" but {VOID}{BINARY_HINT}" if self._void else ""
            raise InputError(
                f"{self._where}: expected at least one object in the ground truth, found none{hint}"
            )
        highest, t = self._highest
        if highest > objects:
            hint = BINARY_HINT if highest == VOID else ""
            raise InputError(
                f"{self._where}: unknown id {highest} in the prediction of frame {self._labels[t]}, "
                f"expected ids 0…{objects}{hint}"
            )
        return {number: self._scores(number) for number in range(1, objects + 1)}

    def _known(self, predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """The prediction, without the void that it took over from the ground truth."""
        highest = int(predicted.max(initial=0))
        if highest == VOID:
            predicted = np.where((predicted == VOID) & (truth == VOID), 0, predicted)
            highest = int(predicted.max(initial=0))
        if highest > self._highest[0]:
            self._highest = (highest, self._t)
        return predicted

    def _meet(self, truth: np.ndarray) -> None:
        """Note the objects that appear in this frame; without late objects, all up to its largest id."""
        highest = int(truth.max(initial=0))
        if highest == VOID:
            self._void = True
            highest = int(truth.max(initial=0, where=truth != VOID))
        if not self._rule.late:
            self._first = dict.fromkeys(range(1, (self._given or highest) + 1), 0)
            return
        for number in range(1, highest + 1):
            if number not in self._first and (truth == number).any():
                self._first[number] = self._t

    def _score(self, number: int, predicted: np.ndarray, truth: np.ndarray) -> None:
        if self._packer is None:
            height, width = truth.shape
            self._radius = matching_radius(height, width)
            self._packer = Packer(height, width, self._radius)
        np.equal(predicted, number, out=self._packer.masks_2HW[0])
        np.equal(truth, number, out=self._packer.masks_2HW[1])
        packed = self._packer.pack()
        j, f = 1.0, 1.0
        if packed is not None:
            j, f = packed_similarity(packed), packed_accuracy(packed, self._radius)
        self._values.setdefault(number, []).append((self._t, j, f))

    def _scores(self, number: int) -> ObjectScores:
        values = np.array(self._values.get(number, []), np.float64).reshape(-1, 3)
        return ObjectScores(values[:, 0].astype(int), values[:, 1].copy(), values[:, 2].copy())


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
    predicted, truth = np.asarray(predicted_ids), np.asarray(truth_ids)
    if predicted.ndim != 3 or predicted.shape != truth.shape:
        raise InputError(
            f"{where}: expected predicted and true id maps of one shape (frames, height, width), "
            f"found {predicted.shape} and {truth.shape}"
        )
    scorer = SequenceScorer([str(t) for t in range(len(truth))], get_protocol(protocol), where, objects)
    for pair in zip(predicted, truth, strict=True):
        scorer.add(*pair)
    return scorer.result()


def binary_ids(mask: np.ndarray) -> np.ndarray:
    """Id map of one object: values above 127 are the object; where a mask has none, values above 0."""
    return (mask > (127 if mask.max(initial=0) > 127 else 0)).view(np.uint8)
