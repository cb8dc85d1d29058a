"""The script of a clip whose appearances come back: which one an object shows when.

It is a game of slots: a memory wins when it still holds an appearance that returns. What any rule can reach with
perfect features is seen by playing the script alone, without frames and networks.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from stremn.errors import InputError
from stremn.settings import Settings

AWAY = 4  # frames that an object is out of sight before it comes back


class RecurringSettings(Settings):
    """One split of generated clips whose appearances come back."""

    kind: Literal["recurring"]
    """tells these settings from those of other generated clips"""
    clips: int = Field(default=16, ge=1)
    """how many clips"""
    length: int = Field(default=160, ge=120)
    """frames of each clip"""
    size: int = Field(default=64, ge=32)
    """side of the square frames, pixels"""
    objects: int = Field(default=2, ge=1, le=2)
    """largest number of labelled objects; two in a quarter of the clips, which change and come back together"""
    appearances: tuple[int, int] = (3, 5)
    """smallest and largest number of appearances of an object"""
    dwell: tuple[int, int] = (10, 25)
    """shortest and longest stay in one appearance, frames"""
    gap: tuple[int, int] = (40, 150)
    """frames since an appearance was last seen, for it to come back"""
    look_alikes: int = Field(default=2, ge=0, le=4)
    """unlabelled objects of the same shape that come in at each return"""
    traps: float = Field(default=0.08, ge=0, le=0.5)
    """share of the frames that are worth nothing though the object is there"""
    natural: float = Field(default=0.25, ge=0, le=1)
    """probability of natural surfaces and scenes instead of photographs tinted in strong colours"""
    seed: int = Field(default=0, ge=0)
    """same seed, same clips, byte for byte"""


@dataclass(frozen=True)
class Visit:
    """A stay in one appearance: frames ``start`` to ``stop`` − 1.

    ``back``: the object was out of sight and comes back in an appearance seen before; else a new one turns up.
    """

    appearance: int
    start: int
    stop: int
    back: bool


def visits(settings: RecurringSettings, rng: np.random.Generator) -> list[Visit]:
    """The script of a clip: appearances in turn, each new one once, then those of long ago again.

    Raises InputError when ``dwell`` is too short for ``gap`` with so few appearances.
    """
    count = int(rng.integers(settings.appearances[0], settings.appearances[1] + 1))
    shortest = max(settings.dwell[0], math.ceil((settings.gap[0] - AWAY) / (count - 1)))
    if shortest > settings.dwell[1]:
        raise InputError(
            f"expected stays long enough that one of {count} appearances is unseen for {settings.gap[0]} frames, "
            f"found dwell {list(settings.dwell)}: allow {shortest} frames"
        )

    def stay(appearance: int, start: int, back: bool) -> Visit:
        return Visit(appearance, start, start + int(rng.integers(shortest, settings.dwell[1] + 1)), back)

    row = [stay(0, 0, False)]
    while row[-1].stop < settings.length:
        now, last = row[-1], {visit.appearance: visit.stop for visit in row}
        start = now.stop + AWAY
        ago = {a: start - stop for a, stop in last.items() if a != now.appearance}
        ready = [a for a, frames in ago.items() if settings.gap[0] <= frames <= settings.gap[1]]
        ready = [
            a for a in ready if a
        ] or ready  # every rule keeps the first frame: its look asks for no choice
        if ready and (len(last) == count or rng.random() < 0.6):
            longest = max(ready, key=lambda a: ago[a])
            soon = ago[longest] + settings.dwell[1] + 2 * AWAY > settings.gap[1]  # else it would be too late
            row.append(stay(longest if soon else int(rng.choice(ready)), start, True))
        else:
            row.append(stay(len(last), now.stop, False))
    return [visit for visit in row if visit.start < settings.length]
