"""Scores of a segmentation system: from result folders or arrays to J, F and J&F.

The statistics are those of the DAVIS 2017 evaluation: per object over its frames, then the mean
over objects.
"""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from stremn.errors import InputError
from stremn.evaluation.folders import check_complete, score_sequence_folder, sequence_names
from stremn.evaluation.processes import parallel_map
from stremn.evaluation.protocols import get_protocol
from stremn.evaluation.sequences import NothingToScoreError, ObjectScores, score_sequence
from stremn.evaluation.statistics import average
from stremn.listing import some

Scored = Mapping[int, ObjectScores] | str  # of a sequence: object id to scores, or why there are none
Progress = Callable[[int, int, str], None]
"""Called with (sequences done, sequences in all, name of the one just scored)."""


@dataclass(frozen=True)
class VOSScores:
    """Scores of one system.

    Attributes:
        protocol: with which it was scored.
        per_frame: ``"<sequence>_<id>"`` to that object's J and F of every scored frame.
        skipped: objects that the protocol gives no frame to; they count nowhere.
        left_out: sequences that cannot be scored, each with the reason; they count nowhere.
        objects: the seven official columns of each object, by the same names.
        global_: their means over the objects.
        empty: ids that are scored but in no frame of the ground truth, as the protocols of DAVIS count every id up
            to the largest: each scores 1 where the prediction is empty too.
        without_empty: the means over the other objects.
    """

    protocol: str
    per_frame: Mapping[str, ObjectScores]
    skipped: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    objects: Mapping[str, dict[str, float]] = field(init=False)
    global_: dict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        if not self.per_frame:
            reason = next(iter(self.left_out.values()), "")
            raise InputError(
                f"protocol {self.protocol}: expected at least one object with a scored frame, found none"
                + (f" ({_count(self.left_out)} left out; {reason})" if reason else "")
            )
        objects = {name: scores.summary() for name, scores in self.per_frame.items()}
        object.__setattr__(self, "objects", objects)
        object.__setattr__(self, "global_", average(list(objects.values())))

    @property
    def empty(self) -> tuple[str, ...]:
        return tuple(name for name, scores in self.per_frame.items() if not scores.shown)

    @property
    def without_empty(self) -> dict[str, float]:
        return average([row for name, row in self.objects.items() if self.per_frame[name].shown])

    def column(self, name: str = "J&F-Mean") -> np.ndarray:
        """One column over the objects, float64 (objects,), in the order of ``objects``."""
        return np.array(list(self.by_object(name).values()))

    def by_object(self, name: str = "J&F-Mean") -> dict[str, float]:
        """One column, ``<sequence>_<id>`` → value."""
        return {key: row[name] for key, row in self.objects.items()}

    def to_dict(self, per_frame: bool = False) -> dict[str, Any]:
        """JSON form: ``protocol``, ``global`` and ``objects``; with ``per_frame`` the curves too."""
        form: dict[str, Any] = {
            "protocol": self.protocol,
            "global": dict(self.global_),
            "objects": {name: dict(row) for name, row in self.objects.items()},
        }
        if self.skipped:
            form["skipped"] = list(self.skipped)
        if self.left_out:
            form["left_out"] = dict(self.left_out)
        if self.empty:
            form["empty"] = list(self.empty)
            form["global_without_empty"] = self.without_empty
        if per_frame:
            form["per_frame"] = {
                name: {"frames": scores.frames.tolist(), "J": scores.j.tolist(), "F": scores.f.tolist()}
                for name, scores in self.per_frame.items()
            }
        return form


def gather(protocol: str, sequences: Iterable[tuple[str, Scored]]) -> VOSScores:
    """Scores of a system from those of its sequences: (name, object id to scores, or why there are none) for each.

    Warns of sequences that are left out, and of ids that no frame of the ground truth has.
    """
    per_frame: dict[str, ObjectScores] = {}
    skipped, left_out, number_of = [], {}, 0
    for name, objects in sequences:
        number_of += 1
        if isinstance(objects, str):
            left_out[name] = objects
            continue
        for number, scores in objects.items():
            if len(scores.frames):
                per_frame[f"{name}_{number}"] = scores
            else:
                skipped.append(f"{name}_{number}")
    result = VOSScores(protocol, per_frame, tuple(skipped), left_out)
    if left_out:
        text = some(list(left_out.values()))
        warnings.warn(f"left out, {len(left_out)} of {_count(range(number_of))}: {text}", stacklevel=2)
    if result.empty:
        warnings.warn(
            f"{some(result.empty)}: in no frame of the ground truth, yet {protocol} counts every id up to the largest "
            f"of the first frame, with 1 where the prediction is empty too: J&F-Mean {result.global_['J&F-Mean']:.3f}, "
            f"without them {result.without_empty['J&F-Mean']:.3f}",
            stacklevel=2,
        )
    return result


def _count(sequences: Sized) -> str:
    return f"{len(sequences)} sequence{'' if len(sequences) == 1 else 's'}"


def _or_reason(work: Callable[[str], Mapping[int, ObjectScores]], name: str) -> Scored:
    """The scores of a sequence, or in words why it has none to give."""
    try:
        return work(name)
    except NothingToScoreError as error:
        return str(error)


def score_clips(
    clips: Iterable[tuple[str, np.ndarray, np.ndarray, int | None]], protocol: str = "davis2017"
) -> VOSScores:
    """Score arrays: (name, predicted ids (T, H, W), true ids (T, H, W), objects or None) for each clip."""
    return gather(
        protocol,
        (
            (name, _or_reason(partial(score_sequence, predicted, truth, objects, protocol), name))
            for name, predicted, truth, objects in clips
        ),
    )


def score_folder(
    predictions: Path | str,
    annotations: Path | str,
    protocol: str = "davis2017",
    names: Sequence[str] | None = None,
    progress: Progress | None = None,
    workers: int = 1,
) -> VOSScores:
    """Score ``predictions/<sequence>/<frame>.png`` against ``annotations`` of the same form.

    Args:
        predictions: a folder of result folders.
        annotations: the ground truth.
        protocol: entry of ``evaluation.protocols``.
        names: the sequences; None: every folder of the annotations.
        progress: called after each sequence.
        workers: processes side by side.

    Raises:
        InputError: no sequence that can be scored, a missing sequence or scored frame, a frame of another size, an id
            that the sequence does not have, an empty folder, a file that cannot be read.
    """
    predictions, annotations = Path(predictions), Path(annotations)
    rule = get_protocol(protocol)
    wanted = sequence_names(annotations, names)
    check_complete(predictions, annotations, wanted, rule)
    work = partial(_or_reason, partial(score_sequence_folder, predictions, annotations, rule=rule))
    scored: dict[str, Scored] = {}
    for name, scores in parallel_map(work, wanted, workers):
        scored[name] = scores
        if progress is not None:
            progress(len(scored), len(wanted), name)
    return gather(rule.name, ((name, scored[name]) for name in wanted))
