"""How much of what a choice of slots can win does a rule win, and how good is it just after a return?

On most clips any choice of slots does about as well as any other, and an order among the rules is noise. The
headroom says how much a choice matters there: what an oracle that sees the truth gains over the rule that keeps
the first and the latest frame alone.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from stremn.errors import InputError
from stremn.evaluation.bootstrap import over_trainings
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
    return headroom_share_over([rule], [oracle], [base], level=level, seed=seed)


def headroom_share_over(
    rules: Sequence[Mapping[str, float]],
    oracles: Sequence[Mapping[str, float]],
    bases: Sequence[Mapping[str, float]],
    *,
    level: float = 0.95,
    seed: int = 0,
) -> Share | None:
    """``headroom_share`` of the means over several trainings; the interval holds trainings and clips."""
    names = rules[0].keys()
    if not names or any(one.keys() != names for one in (*rules, *oracles, *bases)):
        odd = sorted({name for one in (*rules, *oracles, *bases) for name in one.keys() ^ names})
        raise InputError(
            f"expected the same objects in all three systems, found {len(odd)} missing: {odd[:1]}"
        )
    gains = np.array(
        [
            [[rule[name] - base[name], oracle[name] - base[name]] for name in names]
            for rule, oracle, base in zip(rules, oracles, bases, strict=True)
        ]
    )
    drawn, clips = over_trainings(gains, [name.rpartition("_")[0] for name in names], seed=seed)
    won, room = drawn.T
    some, tail = room > 0, (1 - level) / 2
    if gains[..., 1].sum() <= 0 or (~some).mean() > tail:
        return None
    low, high = np.quantile(won[some] / room[some], [tail, 1 - tail])
    return Share(float(gains[..., 0].sum() / gains[..., 1].sum()), float(low), float(high), clips)


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
