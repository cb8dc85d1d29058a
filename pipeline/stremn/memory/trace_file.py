"""The steps of a trace as a file has them: what a step says follows from the step before it is left out.

A memory that grows has more slots with every frame. With all of them in every step the file of a long video would
grow with the square of its length, so a step of many slots leaves out what its frames were, and keeps of the read
only the ``READ`` largest shares.
"""

from collections.abc import Mapping
from itertools import groupby
from typing import Any

import psutil

MANY = 64  # slots from which on
READ = 32  # shares of the read that are kept then; the explorer shows 24
BYTES = 32  # that a slot of a step takes when it is written out, and checked


def most_read(mass: list[float] | None) -> list[float] | None:
    """Shares of the read, all but the largest as 0 where there are many."""
    if mass is None or len(mass) <= MANY:
        return mass
    least = sorted(mass)[-READ]
    return [share if share >= least else 0.0 for share in mass]


def after(step: Mapping[str, Any], before: list[int]) -> list[int]:
    """What the slots hold after a step, as its action says."""
    if step["action"] == "skip":
        return before
    if step["action"] == "append":
        return [*before, step["frame"]]
    held, slot = list(before), step["evicted_slot"]
    if slot is not None:
        held[slot] = step["frame"]
    return held


def pack(steps: list[dict[str, Any]]) -> bool:
    """Leave out, in place, what follows from the step before; whether anything was."""
    last: dict[tuple[int, int], list[int]] = {}
    packed = False
    for step in steps:
        track = (step["clip"], step["row"])
        before, held = step["held_before"], step["held"]
        if len(before) > MANY:
            packed = True
            if held == after(step, before):
                step["held"] = None
            if before == last.get(track):
                step["held_before"] = None
            if step["read_mass"] is not None:
                shares = {slot: share for slot, share in enumerate(step["read_mass"]) if share}
                step["read_mass"] = {"of": len(step["read_mass"]), "shares": shares}
            runs = [(yes, len(list(same))) for yes, same in groupby(step["evictable"])]
            step["evictable"] = {"runs": runs}
        last[track] = held
    return packed


def unpack(steps: list[dict[str, Any]]) -> None:
    """The inverse of ``pack``; ValueError, KeyError or TypeError where they are no steps that it wrote."""
    last: dict[tuple[int, int], list[int]] = {}
    room = psutil.virtual_memory().available // BYTES

    def take(count: int) -> int:
        nonlocal room
        room -= count
        if count < 0 or room < 0:
            raise ValueError("steps with more slots than this machine has memory for")
        return count

    for step in steps:
        track = (step.get("clip", 0), step.get("row", 0))
        if step["held_before"] is None:
            step["held_before"] = last[track]
        if step["held"] is None:
            step["held"] = after(step, step["held_before"])
        if isinstance(mass := step["read_mass"], dict):
            full = [0.0] * take(mass["of"])
            for slot, share in mass["shares"].items():
                full[int(slot)] = share
            step["read_mass"] = full
        if isinstance(runs := step["evictable"], dict):
            step["evictable"] = [bool(yes) for yes, count in runs["runs"] for _ in range(take(count))]
        take(len(step["held"]))
        last[track] = step["held"]
