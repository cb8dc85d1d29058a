"""What a memory did, counted from its traces (STReMN Sec. 4.3).

A trace is the plain form of ``memory.trace.Trace``: its ``to_dict()``, or the list of its steps. A
step tells what the memory held when its frame came (``held_before``), how it was read
(``read_mass``) and what was then written over. Ages and distances are in frames.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

Step: TypeAlias = Mapping[str, Any]
TraceLike: TypeAlias = Mapping[str, Any] | Sequence[Step]


class Life(NamedTuple):
    """A template's stay in the memory.

    Attributes:
        frame: after which it was written.
        slot: where.
        end: the frame that replaced it; None: it was kept.
    """

    frame: int
    slot: int
    end: int | None


def tracks(traces: Iterable[TraceLike]) -> list[list[Step]]:
    """The steps of every clip and decision row of all traces, each in order of time."""
    found = []
    for trace in traces:
        steps = trace["steps"] if isinstance(trace, Mapping) else trace
        groups: dict[tuple[int, int], list[Step]] = {}
        for step in steps:
            groups.setdefault((step.get("clip", 0), step.get("row", 0)), []).append(step)
        found += [sorted(group, key=lambda step: step["frame"]) for group in groups.values()]
    return found


def distance_share(traces: Iterable[TraceLike], *, full_only: bool = False) -> np.ndarray:
    """d[t]: share of the templates that lie t frames before the query, float64 (longest distance + 1,).

    The first frame of the clip and the previous frame are ignored, being always there; the rest sums
    to 1 (STReMN Sec. 4.3). Empty where nothing remains to be counted.

    Args:
        traces: of any number of clips.
        full_only: count only queries of a memory that has reached its final size.
    """
    distances: Counter[int] = Counter()
    for steps in tracks(traces):
        most = max(len(step["held_before"]) for step in steps)
        for step in steps:
            held = step["held_before"]
            if full_only and len(held) < most:
                continue
            ignored = (steps[0]["frame"], step["frame"] - 1)
            distances.update(step["frame"] - frame for frame in held if frame >= 0 and frame not in ignored)
    share = np.zeros(max(distances) + 1 if distances else 0)
    for distance, count in distances.items():
        share[distance] = count
    return share / share.sum() if distances else share


def evictions_by_slot(traces: Iterable[TraceLike]) -> np.ndarray:
    """How often each slot was written over, int64 (slots,)."""
    groups = tracks(traces)
    slots = max((len(step["held"]) for steps in groups for step in steps), default=0)
    chosen = [step["evicted_slot"] for steps in groups for step in steps if step["evicted_slot"] is not None]
    return np.bincount(np.array(chosen, np.int64), minlength=slots)


def evictions_by_age(traces: Iterable[TraceLike]) -> np.ndarray:
    """How often a template of each age, in frames since its own, was written over: int64 (oldest + 1,)."""
    ages = [
        step["frame"] - step["evicted_frame"]
        for steps in tracks(traces)
        for step in steps
        if step["evicted_frame"] is not None
    ]
    return np.bincount(np.array(ages, np.int64))


def slot_matrix(trace: TraceLike, name: str) -> tuple[np.ndarray, np.ndarray]:
    """``scores`` or ``read_mass`` over time: frames (T,), and values (T, slots) with NaN where none is."""
    steps = tracks([trace])[0]
    slots = max(len(step["held"]) for step in steps)
    values = np.full((len(steps), slots), np.nan)
    for row, step in zip(values, steps, strict=True):
        given = step[name] or []
        row[: len(given)] = [np.nan if value is None else value for value in given]
    return np.array([step["frame"] for step in steps]), values


def evictable_matrix(trace: TraceLike) -> np.ndarray:
    """Which slots could have been written over, bool (T, slots); all that have a score where unknown."""
    steps = tracks([trace])[0]
    _, scores = slot_matrix(trace, "scores")
    allowed = np.isfinite(scores)
    for row, step in zip(allowed, steps, strict=True):
        given = step.get("evictable")
        if given is not None:
            row[:] = False
            row[: len(given)] = given
    return allowed


def lifetimes(trace: TraceLike) -> list[Life]:
    """Every stored frame with the slot it went to and the frame that replaced it."""
    steps = tracks([trace])[0]
    living: dict[int, Life] = {}
    done = []
    for step in steps:
        held = {frame: slot for slot, frame in enumerate(step["held"]) if frame >= 0}
        for frame in sorted(living.keys() - held.keys()):
            done.append(living.pop(frame)._replace(end=step["frame"]))
        for frame, slot in held.items():
            living.setdefault(frame, Life(frame, slot, None))
    return sorted(
        done + list(living.values()), key=lambda life: (life.frame, life.slot, life.end is None, life.end)
    )


def kept_at_end(trace: TraceLike) -> list[int]:
    """Frames in the memory after the last step, in order of time (STReMN Fig. 6)."""
    return sorted(frame for frame in tracks([trace])[0][-1]["held"] if frame >= 0)


def mass_by_role(traces: Iterable[TraceLike]) -> dict[str, float]:
    """Mean share of the read that goes to the first frame, the previous one and all others.

    Only reads of at least three templates count, where all roles exist; empty when there are none.
    """
    roles: dict[str, list[float]] = {"first frame": [], "previous frame": [], "all others": []}
    for steps in tracks(traces):
        for step in steps:
            if not step["read_mass"] or len(step["held_before"]) < 3:
                continue
            mass = dict(zip(step["held_before"], step["read_mass"], strict=False))
            first = mass.pop(steps[0]["frame"], 0.0)
            previous = mass.pop(step["frame"] - 1, 0.0)
            for role, value in zip(roles, (first, previous, sum(mass.values())), strict=True):
                roles[role].append(value)
    return {role: float(np.mean(values)) for role, values in roles.items() if values}
