"""How much of what a choice of slots can win does a rule win, and how good is it just after a return?

On most clips any choice of slots does about as well as any other, and an order among the rules is noise. The
headroom says how much a choice matters there: what an oracle that sees the truth gains over the rule that keeps
the first and the latest frame alone.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from stremn.errors import InputError
from stremn.evaluation.sequences import ObjectScores

AFTER = 14  # frames after a return in which nearly all of the difference between memories lies


class Share(NamedTuple):
    """A share of the headroom with the ends of its confidence interval, and the number of clips.

    1 is as good as the oracle, 0 as the first and the latest frame, below 0 is worse than those.
    """

    share: float
    low: float
    high: float
    clips: int


def headroom_share(
    rule: Mapping[str, float],
    oracle: Mapping[str, float],
    base: Mapping[str, float],
    *,
    level: float = 0.95,
    resamples: int = 5000,
    seed: int = 0,
) -> Share | None:
    """(rule − base) / (oracle − base) of the means over objects, with a paired bootstrap interval.

    Args:
        rule, oracle, base: the same column of three systems over the same objects, ``<clip>_<id>`` to value; base
            is the first and latest frame.
        level: of the interval, whose ends are percentiles of the ratio over the draws.

    Clips are drawn with replacement, all objects of a clip together and for all three systems at once. Draws
    without headroom have no ratio and are left out. None: the oracle has no headroom, or more than
    (1 − level) / 2 of the draws have none, so that the ratio means nothing.

    Raises InputError when the systems have different objects or none.
    """
    if not rule or not rule.keys() == oracle.keys() == base.keys():
        odd = sorted(
            (rule.keys() | oracle.keys() | base.keys()) - (rule.keys() & oracle.keys() & base.keys())
        )
        raise InputError(
            f"expected the same objects in all three systems, found {len(odd)} missing: {odd[:1]}"
        )
    clip = np.unique([name.rpartition("_")[0] for name in rule], return_inverse=True)[1]
    gains = np.array([[rule[name] - base[name], oracle[name] - base[name]] for name in rule])
    # sums over a clip's objects: the objects' number cancels in the ratio of the means
    sums = np.stack([np.bincount(clip, weights=column) for column in gains.T], axis=1)
    draws = np.random.default_rng(seed).integers(0, len(sums), (resamples, len(sums)))
    won, room = np.moveaxis(sums[draws].sum(axis=1), 1, 0)
    some, tail = room > 0, (1 - level) / 2
    if sums[:, 1].sum() <= 0 or (~some).mean() > tail:
        return None
    low, high = np.quantile(won[some] / room[some], [tail, 1 - tail])
    return Share(float(sums[:, 0].sum() / sums[:, 1].sum()), float(low), float(high), len(sums))


def returns(shown: Sequence[int] | np.ndarray) -> list[int]:
    """Frames in which an object comes back: it shows an appearance seen before, and the last one was another.

    Args:
        shown: for each frame the number of the appearance that the object shows, −1 for none, (T,).
    """
    found, seen, last = [], set(), None
    for frame, appearance in enumerate(shown):
        if appearance < 0:
            continue
        if last not in (None, appearance) and appearance in seen:
            found.append(frame)
        seen.add(appearance)
        last = appearance
    return found


def j_after_returns(
    per_frame: Mapping[str, ObjectScores], shown: Mapping[str, np.ndarray], frames: int = AFTER
) -> dict[str, float]:
    """Mean J of each object over the ``frames`` frames from each of its returns on.

    Args:
        per_frame: ``<clip>_<id>`` to the scores of the object's frames, as of ``VOSScores``.
        shown: of each clip the appearances (T, O) of its objects, the id less 1 is the column.

    Objects that never come back are left out.
    """
    means = {}
    for name, scores in per_frame.items():
        clip, _, number = name.rpartition("_")
        wanted = {
            frame + later for frame in returns(shown[clip][:, int(number) - 1]) for later in range(frames)
        }
        chosen = np.isin(scores.frames, list(wanted))
        if chosen.any():
            means[name] = float(scores.j[chosen].mean())
    return means
