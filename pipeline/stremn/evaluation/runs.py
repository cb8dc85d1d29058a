"""Runs of the evaluation, selected by how they were made; their names are labels for people and folders."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from stremn.errors import InputError
from stremn.evaluation.bootstrap import Interval, bootstrap_mean, paired_difference
from stremn.evaluation.headroom import Share, headroom_share, j_after_returns
from stremn.evaluation.vos import VOSScores
from stremn.files import load_json, replacing
from stremn.settings import Settings

ANY: Final = object()  # any value of a field


class Run(Settings):
    """One way to segment the clips.

    Attributes:
        network: its name in the training stages; empty: none.
        trained: after which stage its weights are taken.
        policy: entry of ``memory.POLICIES``; None: the network's own rule.
        slots: K, or frames' worth of features; None: the stage's.
        options: more settings of the rule, see ``memory.make_policy``.
        scales, flip: several passes, see ``inference.multiscale``.
        postprocess: name of another run; its masks without far parts, see ``inference.postprocess``.
        trace: keep what happened in the memory.
        title: what it is called in tables; None: the rule's title.
    """

    network: str = "stremn"
    trained: Literal["finetune", "pretrain"] = "finetune"
    policy: str | None = None
    slots: int | None = None
    options: dict[str, Any] = {}
    scales: list[float] = [1.0]
    flip: bool = False
    postprocess: str | None = None
    trace: bool = False
    title: str | None = None


PLAIN = {name: field.default for name, field in Run.model_fields.items() if name not in ("trace", "title")}


def select(runs: Mapping[str, Run], **fields: Any) -> list[str]:
    """Names of the runs with these fields, in their order.

    Args:
        runs: name → run.
        fields: of :class:`Run`, by their values; ``ANY`` for all values. Those that are not given have their
            defaults: trained to the end, one pass, without options.
    """
    wanted = {name: value for name, value in {**PLAIN, **fields}.items() if value is not ANY}
    return [
        name for name, run in runs.items() if all(getattr(run, key) == value for key, value in wanted.items())
    ]


def find(runs: Mapping[str, Run], **fields: Any) -> str | None:
    """Name of the first run of :func:`select`; None where there is none."""
    return next(iter(select(runs, **fields)), None)


def save_runs(runs: Mapping[str, Run], path: Path) -> None:
    """Write name → fields as JSON."""
    with replacing(path) as scratch:
        scratch.write_text(json.dumps({name: run.model_dump() for name, run in runs.items()}, indent=1))


def load_runs(path: Path) -> dict[str, Run]:
    """Inverse of :func:`save_runs`; InputError where there is no such file."""
    if not path.is_file():
        raise InputError(f"expected the runs of the evaluation at {path}, found no file: evaluate first")
    form = load_json(path, "the runs of the evaluation")
    if not (isinstance(form, dict) and all(isinstance(fields, dict) for fields in form.values())):
        raise InputError(
            f"expected the runs of the evaluation in {path}, found something else: evaluate again"
        )
    return {name: Run.parse(fields, f"{path}: {name}") for name, fields in form.items()}


@dataclass(frozen=True)
class Compared:
    """A run's scores with their intervals, each computed once.

    Attributes:
        scores: of the run.
        mean: J&F over the objects, with its interval.
        behind: the reference's J&F minus the run's over the same objects; None for the reference itself.
        headroom: which share of the oracle's gain over the first and latest frame the run's J has; None: no oracle ran,
            or it gains nothing.
        after_returns: mean J in the frames after a return; None: the clips know of none.
    """

    scores: VOSScores
    mean: Interval
    behind: Interval | None
    headroom: Share | None = None
    after_returns: float | None = None

    def numbers(self) -> dict[str, float]:
        """The few numbers by which runs are ranked: J&F with its interval, J, F, the share of the headroom."""
        found = {
            "J&F": self.mean.mean,
            "J&F_low": self.mean.low,
            "J&F_high": self.mean.high,
            "J": self.scores.global_["J-Mean"],
            "F": self.scores.global_["F-Mean"],
        }
        if self.headroom is not None:
            found |= {
                "headroom_share": self.headroom.share,
                "headroom_share_low": self.headroom.low,
                "headroom_share_high": self.headroom.high,
            }
        return found if self.after_returns is None else {**found, "J_after_returns": self.after_returns}

    def to_dict(self) -> dict[str, Any]:
        """JSON form: that of the scores, and both intervals."""
        behind = None if self.behind is None else self.behind.to_dict()
        return {
            **self.scores.to_dict(per_frame=True),
            "interval": {"J&F": self.mean.to_dict(), "behind": behind},
            "headroom": None if self.headroom is None else self.headroom._asdict(),
            "after_returns": self.after_returns,
        }


def compare(
    scores: Mapping[str, VOSScores],
    reference: str,
    seed: int = 0,
    *,
    oracle: str = "",
    base: str = "",
    shown: Mapping[str, NDArray[np.integer]] | None = None,
) -> dict[str, Compared]:
    """Every run beside a reference.

    Args:
        scores: of each run, on the same objects.
        reference: one of them.
        seed: of the bootstrap.
        oracle, base: runs between which the share of the headroom is told, see ``headroom_share``; where one of them
            did not run there is none.
        shown: of each clip the appearances of its objects, (T, O), for the J after returns; None: they are not known.
    """
    if reference not in scores:
        raise InputError(f"expected the reference among {', '.join(scores)}, found {reference!r}")
    best = scores[reference].by_object()
    return {
        name: Compared(
            one,
            bootstrap_mean(one.column(), seed=seed),
            None if name == reference else paired_difference(best, one.by_object(), seed=seed),
            _headroom(one, scores.get(oracle), scores.get(base), seed),
            None if shown is None else _after_returns(one, shown),
        )
        for name, one in scores.items()
    }


def _headroom(one: VOSScores, oracle: VOSScores | None, base: VOSScores | None, seed: int) -> Share | None:
    """A run's share of the oracle's gain in J, where both it is measured by ran."""
    if oracle is None or base is None:
        return None
    rule, best, least = (scores.by_object("J-Mean") for scores in (one, oracle, base))
    return headroom_share(rule, best, least, seed=seed)


def _after_returns(one: VOSScores, shown: Mapping[str, NDArray[np.integer]]) -> float | None:
    """Mean J over the objects that come back; None where none does."""
    means = [*j_after_returns(one.per_frame, shown).values()]
    return float(np.mean(means)) if means else None
