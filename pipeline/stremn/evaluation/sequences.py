"""J and F of every object in every scored frame of one sequence.

Letters: T frames, H W pixels; an id map holds 0 for the background and 1…objects.
"""

import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from stremn.data.clips import VOID
from stremn.errors import InputError
from stremn.evaluation.bitmask import Packer
from stremn.evaluation.contour import matching_radius, packed_accuracy
from stremn.evaluation.protocols import Protocol, get_protocol
from stremn.evaluation.region import packed_similarity
from stremn.evaluation.statistics import summary

SMALL_IDS = 20  # beside 255, values up to this one are ids, as where masks are read
MANY = 50  # ids that are looked for one by one at most
BINARY_HINT = "; for masks of 0 and 255 use the protocol davis2016"
LATE_HINT = "the protocol youtube-vos scores an object from the frame after its first"


class NothingToScoreError(InputError):
    """A sequence without a scored frame or without an object: among others it is left out."""


@dataclass(frozen=True)
class ObjectScores:
    """frames: int (N,) indices of the scored frames; j, f: float64 (N,) in [0, 1]; shown: in some frame of the truth."""

    frames: np.ndarray
    j: np.ndarray
    f: np.ndarray
    shown: bool = True

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

    Raises NothingToScoreError when the protocol scores none of so few frames.
    """

    def __init__(
        self, labels: Sequence[str], rule: Protocol, where: str = "the sequence", objects: int | None = None
    ) -> None:
        self._labels, self._rule, self._where, self._given = labels, rule, where, objects
        self._scored = set(rule.scored_frames(len(labels)).tolist())
        if not self._scored:
            raise NothingToScoreError(
                f"{where}: {rule.name} needs at least {rule.least_frames} frames, found {len(labels)}"
            )
        self._t = 0
        self._first: dict[int, int] = {}  # of every object of the truth, its first frame
        self._strange: dict[int, int] = {}  # of a predicted id that was not seen yet, its first frame
        self._objects = objects or 0  # without late objects
        self._values: dict[int, list[tuple[int, float, float]]] = {}
        self._highest = (0, 0)
        self._void = False
        self._nothing = True
        self._packer: Packer | None = None

    def add(self, predicted_HW: np.ndarray | None, truth_HW: np.ndarray) -> None:
        """The next frame, integer ids (H, W) both; an absent prediction (None) counts as empty."""
        truth = binary_ids(truth_HW) if self._rule.binary else truth_HW
        predicted = np.zeros_like(truth) if predicted_HW is None else predicted_HW
        predicted = self._known(binary_ids(predicted) if self._rule.binary else predicted, truth)
        if self._t in self._scored:
            for number in list(self._first) if self._rule.late else range(1, self._objects + 1):
                self._score(number, predicted, truth)
        self._void = self._void or int(truth.max(initial=0)) == VOID
        self._first |= dict.fromkeys(_new_ids(truth, self._first), self._t)
        if not self._t and self._given is None:
            self._objects = max(self._first, default=0)
        self._t += 1

    def result(self) -> dict[int, ObjectScores]:
        """The scores of objects 1…N; one that the protocol gives no frame to has empty arrays.

        Warns of objects that come late where the protocol scores none, and of a prediction without any object.

        Raises:
            NothingToScoreError: no object in the ground truth.
            InputError: none in its first frame where the protocol wants them there; an id in the prediction that
                the ground truth has not.
        """
        objects = self._number()
        self._check_ids(objects)
        late = [
            n for n, t in sorted(self._first.items()) if t and not self._rule.late and self._given is None
        ]
        if late:
            scored = "scored from the first frame on" if late[0] <= objects else "not scored"
            warnings.warn(
                f"{self._comes_late(late[0])} and is {scored} here: {self._fitting()}", stacklevel=3
            )
        if self._nothing and self._values:
            warnings.warn(f"{self._where}: the prediction is empty in all frames", stacklevel=3)
        return {number: self._scores(number) for number in range(1, objects + 1)}

    def _number(self) -> int:
        """N, the largest id that is scored."""
        if self._given is not None:
            return self._given
        if not self._first:
            if self._void:
                raise InputError(
                    f"{self._where}: expected at least one object in the ground truth, found none but "
                    f"{VOID}{BINARY_HINT}"
                )
            raise NothingToScoreError(
                f"{self._where}: expected at least one object in the ground truth, found none"
            )
        if not self._rule.late and not self._objects:
            raise InputError(f"{self._comes_late(min(self._first))}, none is in the first: {self._fitting()}")
        return max(self._first) if self._rule.late else self._objects

    def _check_ids(self, objects: int) -> None:
        """InputError where the prediction has an id that the ground truth has not."""
        number, t = self._highest
        if number <= objects:
            strange = sorted(set(self._strange) - set(self._first))
            if not strange or self._given is not None:
                return
            number, t = strange[0], self._strange[strange[0]]
        if number in self._first:
            raise InputError(f"{self._comes_late(number)}, and the prediction has it: {self._fitting()}")
        hint = BINARY_HINT if number == VOID else ""
        known = f"0…{objects}" if number > objects else ", ".join(map(str, [0, *sorted(self._first)[:12]]))
        raise InputError(
            f"{self._where}: unknown id {number} in the prediction of frame {self._labels[t]}, "
            f"expected ids {known}{hint}"
        )

    def _comes_late(self, number: int) -> str:
        return (
            f"{self._where}: {self._rule.name} expects every object in the first frame, object {number} first "
            f"appears in frame {self._labels[self._first[number]]}"
        )

    def _fitting(self) -> str:
        return LATE_HINT + (
            "; for it, save the masks as ids in place of 0 and 255" if self._rule.binary else ""
        )

    def _known(self, predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """The prediction, without the void that it took over from the ground truth."""
        highest = int(predicted.max(initial=0))
        if highest == VOID:
            predicted = np.where((predicted == VOID) & (truth == VOID), 0, predicted)
            highest = int(predicted.max(initial=0))
        if highest > self._highest[0]:
            self._highest = (highest, self._t)
        if self._rule.late:
            self._strange |= dict.fromkeys(_new_ids(predicted, self._first | self._strange), self._t)
        self._nothing = self._nothing and not highest
        return predicted

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
        shown = number in self._first
        return ObjectScores(values[:, 0].astype(int), values[:, 1].copy(), values[:, 2].copy(), shown)


def _new_ids(ids: np.ndarray, known: Collection[int]) -> list[int]:
    """Objects of an id map that are not known yet, void apart; no pass over the pixels where all are."""
    highest = int(ids.max(initial=0))
    if highest == VOID:
        highest = int(ids.max(initial=0, where=ids != VOID))
    missing = [number for number in range(1, highest + 1) if number not in known and number != VOID]
    if len(missing) > MANY:
        present = set(np.unique(ids).tolist())
        return [number for number in missing if number in present]
    return [number for number in missing if (ids == number).any()]


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
    """Id map of one object: values above 127 are the object; where a mask has none, values above 0.

    A mask of small ids and 255, which is void then, is of DAVIS-2017: every id is the object.
    """
    if mask.max(initial=0) == VOID and ((mask > 0) & (mask < VOID)).any():
        between = set(np.unique(mask).tolist()) - {0, VOID}
        if max(between) <= SMALL_IDS:
            return ((mask > 0) & (mask != VOID)).view(np.uint8)
    return (mask > (127 if mask.max(initial=0) > 127 else 0)).view(np.uint8)
