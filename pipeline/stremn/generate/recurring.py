"""Clips that ask which slot to overwrite: an object changes its look, is gone, and comes back in an earlier look.

The object shows three to five appearances in turn. A new one comes gradually, so that whoever follows the object
learns it; an earlier one comes back after the object was out of sight, elsewhere, beside look-alikes that no
memory knows, so that only a template of that appearance tells which of them it is. Frames that are worth nothing
(flashed, dark, blurred, covered, half out of view) tempt a memory that keeps whatever is unlike the rest.
The script of a clip is ``visits``, its actors are ``recurring_cast``. What each frame shows is kept beside the
clip as ``Truth``.

T frames, O objects, S the image side.
"""

import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from stremn.data import photographs
from stremn.data.appearances import Truth, write_truth
from stremn.data.clips import Clip, write_clip
from stremn.generate import motion, surfaces
from stremn.generate.procedural import render
from stremn.generate.recurring_cast import Script, cast, turned
from stremn.generate.render import Sprite, Viewport, background
from stremn.generate.visits import RecurringSettings, visits

SEEN = 0.5  # share of an object's full area that must be visible for a frame to be worth something
TRAPS = ("flash", "dark", "blur", "cover", "edge")


def make_recurring(
    settings: RecurringSettings, group: str, index: int, split: str | None = None
) -> tuple[Clip, Truth]:
    """Clip ``index`` of a split and what it shows.

    Args:
        group: photographs to use: "train", "val" or "test".
        split: the split's name, part of the seed; the group when None.

    Returns a clip of frames uint8 (T, S, S, 3) and masks uint8 (T, S, S), and its truth.
    """
    split = split or group
    rng = np.random.default_rng([settings.seed, zlib.crc32(f"recurring {split}".encode()), index])
    script = _script(settings, group, rng)
    count = 2 if settings.objects > 1 and rng.random() < 0.25 else 1
    layers, bodies = cast(script, count)
    scene = surfaces.scene if script.natural else photographs.scene
    here, elsewhere = (_camera(script, scene(rng, group, settings.size)) for _ in range(2))
    frames, masks = render(here, layers, settings.size, settings.length)
    _cut_away(script, frames, elsewhere)
    _spoil(script, frames)
    pixels = (np.clip(frames + rng.normal(0, 0.008, frames.shape), 0, 1) * 255).round().astype(np.uint8)
    return Clip(f"{split}{index:04d}", pixels, masks, count), _truth(script, masks, bodies)


def write_recurring(root: Path | str, clip: Clip, truth: Truth) -> None:
    """Write a clip and what it shows under a root."""
    write_clip(root, clip)
    write_truth(root, clip.name, truth)


def _script(settings: RecurringSettings, group: str, rng: np.random.Generator) -> Script:
    row = visits(settings, rng)
    # Frame 0, whose mask is given, is never a trap.
    traps = np.where(rng.random(settings.length) < settings.traps, rng.choice(TRAPS, settings.length), "")
    traps[0] = ""
    return Script(
        settings=settings,
        rng=rng,
        group=group,
        natural=bool(rng.random() < settings.natural),
        visits=row,
        slides=[visit.back and bool(rng.random() < 0.5) for visit in row],
        traps=traps,
    )


def _camera(script: Script, scene: NDArray[np.floating]) -> Viewport:
    """A slowly drifting window on a scene."""
    rng, settings = script.rng, script.settings
    middle = np.array(scene.shape[:2]) / 2
    room = np.maximum(middle - settings.size / 2, 0)
    drift = [
        motion.swing(rng, settings.length, rng.uniform(0.2, 0.8) * float(side), (60, 120)) for side in room
    ]
    still = np.zeros(settings.length, np.float32)
    return Viewport(scene, (middle + np.stack(drift, axis=1)).astype(np.float32), still + 1, still)


def _cut_away(script: Script, frames: motion.Floats, elsewhere: Viewport) -> None:
    """Show another scene while the object is out of sight and did not leave through the edge."""
    for before, visit, slides in zip(script.visits, script.visits[1:], script.slides[1:], strict=False):
        if visit.back and not slides:
            away = slice(before.stop, min(visit.start, script.settings.length))
            frames[away] = background(elsewhere, script.settings.size, away)


def _spoil(script: Script, frames: motion.Floats) -> None:
    """Flash, darken or blur the frames that are such traps."""
    for t, trap in enumerate(script.traps):
        if trap == "flash":
            frames[t] = 0.12 * frames[t] + 0.88
        elif trap == "dark":
            frames[t] *= 0.08
        elif trap == "blur":
            blur = 0.12 * script.settings.size
            frames[t] = gaussian_filter(frames[t], (blur, blur, 0))


def _truth(script: Script, masks: NDArray[np.uint8], bodies: list[Sprite]) -> Truth:
    """What is shown, by the script and by how much of each body the masks leave."""
    length = script.settings.length
    shown = np.full(length, -1)
    for place, visit in enumerate(script.visits):
        span = slice(visit.start, min(visit.stop, length))
        shown[span] = visit.appearance
        if script.turns(place):  # while the turn is on its way, neither side is in front
            far = turned(np.arange(len(shown[span])))
            shown[span][far < 0.8] = -1
            shown[span][far < 0.2] = script.visits[place - 1].appearance
    worthless = np.empty((length, len(bodies)), bool)
    for column, body in enumerate(bodies):
        area = (masks == body.label).mean(axis=(1, 2))
        worthless[:, column] = (script.traps != "") | (area < SEEN * np.pi * body.radius**2)
    return Truth(np.repeat(shown[:, None], len(bodies), axis=1), worthless)
