"""How far a segmentation can be trusted, frame by frame and object by object, where there is no truth.

A rating comes from a frame, its probabilities, and the colours that the object had where its mask was given: no network
is asked again. The other signs of ``Rating`` tell less, see benchmarks/README.md. H W pixels, O objects.
"""

import csv
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter
from scipy.special import entr

from stremn.errors import InputError, short_reason
from stremn.files import replacing

SIDE = 240  # pixels: larger frames are looked at on a grid of at least that many
LEAST = 16  # points of it on an object, where the object has as many pixels
LEVELS = 8  # of each colour in a histogram
LOST = 0.7
"""Confidence below which an object may be lost, chosen on training sequences of DAVIS (benchmarks/confidence.py)."""
PATIENCE = 5  # frames in a row below it, until the end, before an object is said to be lost
DIGITS = 4  # of numbers that are kept


@dataclass(frozen=True)
class Rating:
    """An object in a frame.

    Attributes:
        frame: number in the video.
        object: its id.
        confidence: ``certainty`` · ``colours``, in [0, 1]; 1 where its mask is given, 0 where it has no pixel.
        area: pixels of its mask.
        certainty: J of its probability with its mask, in [0, 1]: what the network itself expects.
        entropy: of its probability, bits for each pixel of the mask.
        colours: how alike its colours are to those where its mask was given, in [0, 1] (Bhattacharyya coefficient).
        size: its area in that of the given mask.
        overlap: J of its mask with that of the frame before.
        shift: way of its centre since the frame before, in its own size (√area).
    """

    frame: int
    object: int
    confidence: float
    area: int
    certainty: float
    entropy: float
    colours: float
    size: float
    overlap: float
    shift: float


RATING = TypeAdapter(Rating)


def _step(mask: NDArray[np.bool_]) -> int:
    """Of the grid on which an object is looked at: as its frame is large, but not past a small object."""
    step, area = max(1, min(mask.shape) // SIDE), int(np.count_nonzero(mask))
    while step > 1 and int(np.count_nonzero(mask[::step, ::step])) < min(LEAST, area):
        step //= 2
    return step


def _colours(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Shares of the colours of pixels (N, 3), in a histogram of ``LEVELS``³."""
    levels = pixels // (256 // LEVELS) @ np.array([LEVELS**2, LEVELS, 1])
    return np.bincount(levels, minlength=LEVELS**3) / max(1, len(pixels))


def _signs(
    frame: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    likely: NDArray[np.floating],
    given: tuple[float, NDArray[np.float64]],
    before: NDArray[np.bool_],
) -> dict[str, float]:
    """The signs of ``Rating`` of an object: its frame, mask and probability, what was given, the mask before."""
    area, union = int(np.count_nonzero(mask)), int(np.count_nonzero(mask | before))
    shift = 0.0
    if area and before.any():
        centres = [np.argwhere(one).mean(0) for one in (mask, before)]
        shift = math.dist(*centres) / math.sqrt(np.count_nonzero(before))
    uncertain = likely.astype(np.float64)
    bits = (entr(uncertain) + entr(1 - uncertain)).sum() / math.log(2)
    return {
        "certainty": float(uncertain[mask].sum() / np.maximum(uncertain, mask).sum()) if area else 0.0,
        "entropy": float(bits / max(1, area)),
        "colours": float(np.sqrt(given[1] * _colours(frame[mask])).sum()),
        "size": area / given[0],
        "overlap": np.count_nonzero(mask & before) / max(1, union),
        "shift": shift,
    }


class Watch:
    """Rates the objects of a video, frame by frame.

    >>> watch = Watch()
    >>> for t, frame in enumerate(frames):
    ...     likely = stream.step(frame, mask if t == 0 else None)
    ...     ratings = watch.rate(frame, stream.ids(likely), likely.numpy(), stream.object_ids, ids if t == 0 else ())

    Args:
        start: number of the first frame.
    """

    def __init__(self, start: int = 0) -> None:
        self.frame = start  # number of the next one
        self._given: dict[int, tuple[int, NDArray[np.float64]]] = {}  # area and colours of each object
        self._before: NDArray[np.integer] | None = None

    def recall(self, frame: NDArray[np.uint8], ids: NDArray[np.integer], given: Collection[int] = ()) -> None:
        """Look at a frame that was rated earlier, to go on after it.

        Args:
            frame: RGB, uint8 (H, W, 3).
            ids: its object ids (H, W).
            given: ids whose mask is given in it.
        """
        for number in given:
            mask = ids == number
            step = _step(mask)
            mask, pixels = mask[::step, ::step], frame[::step, ::step]
            self._given[number] = (max(1, int(mask.sum())) * step**2, _colours(pixels[mask]))
        self._before, self.frame = ids, self.frame + 1

    def forget(self, objects: Iterable[int]) -> None:
        """Rate objects no longer, from the next frame on, until their mask is given again."""
        for number in objects:
            self._given.pop(number, None)

    def rate(
        self,
        frame: NDArray[np.uint8],
        ids: NDArray[np.integer],
        probabilities: NDArray[np.floating],
        objects: Sequence[int],
        given: Collection[int] = (),
    ) -> list[Rating]:
        """Rate the objects of the next frame.

        Args:
            frame, ids, given: as of ``recall``.
            probabilities: (O + 1, H, W), background first; see ``Stream.step``.
            objects: their ids, of length O; those that were not given, or are forgotten, are not rated.
        """
        before, number = self._before, self.frame
        self.recall(frame, ids, given)
        found = []
        for row, one in enumerate(objects, 1):
            if one in self._given:
                whole = ids == one
                area, step = int(np.count_nonzero(whole)), _step(whole)
                points = np.s_[::step, ::step]
                mask, given_area = whole[points], self._given[one][0] / step**2
                signs = _signs(
                    frame[points],
                    mask,
                    probabilities[row][points],
                    (given_area, self._given[one][1]),
                    mask if before is None else before[points] == one,
                )
                confidence = 1.0 if one in given else signs["certainty"] * signs["colours"]
                kept = {
                    name: round(value, DIGITS) for name, value in {"confidence": confidence, **signs}.items()
                }
                found.append(Rating(number, one, area=area, **kept))
        return found


def lost_from(ratings: Iterable[Rating], removed: Collection[int] = ()) -> dict[int, int]:
    """Objects that may be lost, with the frame from which on their confidence stays below ``LOST``.

    The last ``PATIENCE`` frames of an object, at least, must be below it. Those that were ``removed`` are not lost.
    """
    low: dict[int, list[int]] = {}
    for one in ratings:
        if one.object in removed:
            continue
        since = low.setdefault(one.object, [])
        since.append(one.frame) if one.confidence < LOST else since.clear()
    return {number: since[0] for number, since in sorted(low.items()) if len(since) >= PATIENCE}


def save_ratings(path: Path, ratings: Iterable[Rating]) -> None:
    """Write a CSV, a line for each object in each frame; the old file stays if writing fails."""
    with replacing(path) as scratch, scratch.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Rating)], lineterminator="\n")
        table.writeheader()
        table.writerows(asdict(one) for one in ratings)


def read_ratings(path: Path) -> list[Rating]:
    """What ``save_ratings`` wrote.

    Raises:
        InputError: another file.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [RATING.validate_python(row) for row in csv.DictReader(file)]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(
            f"expected the confidence of each frame in {path}, found: {short_reason(error)}"
        ) from None
