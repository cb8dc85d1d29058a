"""Video clips that need a memory: textured, deforming objects over moving photographs or piles of surfaces.

What makes a clip hard comes with a probability each: occlusion by scenery, look-alikes without a label,
objects that leave the frame and return, that turn and show other faces, light that goes and comes back,
an object that appears late. Occlusion of objects by one another happens wherever their paths cross.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stremn.data import photographs
from stremn.data.clips import Clip
from stremn.errors import InputError
from stremn.generate import motion, shapes, surfaces
from stremn.generate.render import Bar, Layer, Sprite, Viewport, background, draw
from stremn.settings import Settings

CHUNK = 64  # frames drawn at once
SEEN = 0.6  # share of its frames in which an object should be well visible; yields when a layout is crowded
TOO_SHORT = (5, 6)  # lengths in which no late object, which takes 5 frames or more, can be in view in time
FIRST_AREA = 0.02  # least visible share of the image in an object's first frame

Look = shapes.Tint | surfaces.Skin
Scene = Callable[[np.random.Generator, str, int], NDArray[np.floating]]  # of a group, for frames of this side


class ClipSettings(Settings):
    """One split of generated clips. Probabilities are per clip unless said otherwise."""

    clips: int = Field(default=16, ge=1)
    """How many clips."""
    length: int = Field(default=24, ge=2)
    """Frames of each clip."""
    size: int = Field(default=64, ge=32)
    """Side of the square frames, pixels."""
    objects: int = Field(default=3, ge=1, le=3)
    """Largest number of labelled objects; 1 to this, evenly."""
    occluders: float = Field(default=0.35, ge=0, le=1)
    """Probability of scenery in front."""
    distractors: float = Field(default=0.3, ge=0, le=1)
    """Probability of an unlabelled look-alike."""
    leave: float = Field(default=0.3, ge=0, le=1)
    """Probability that one object leaves and returns."""
    turn: float = Field(default=0.4, ge=0, le=1)
    """Probability, per object, of turning round."""
    light: float = Field(default=0.3, ge=0, le=1)
    """Probability that the light changes and returns."""
    late: float = Field(default=0.1, ge=0, le=1)
    """Probability that the last object appears mid-video."""
    natural: float = Field(default=0, ge=0, le=1)
    """Probability of natural colours and larger objects, some with limbs."""
    seed: int = Field(default=0, ge=0)
    """Same seed, same clips, byte for byte."""


@dataclass(frozen=True)
class Traits:
    """What happens in one clip; drawn once, so that rejected layouts do not shift the probabilities."""

    count: int
    late: int  # id of the object that appears late, 0: none; likewise the next
    leaver: int
    turns: tuple[bool, ...]
    distractor: bool
    occluders: int
    light: bool
    natural: bool


def make_clip(settings: ClipSettings, group: str, index: int, split: str | None = None) -> Clip:
    """Clip ``index`` of a split.

    Args:
        group: photographs to use: "train", "val" or "test".
        split: the split's name, part of the seed; the group when None.

    Returns frames uint8 (T, S, S, 3) and masks uint8 (T, S, S) of ids 0..n. Each object covers at least
    2 % of the image in its first frame; a late one has no mask before it is that visible.
    Raises InputError when the settings leave no room for such a clip.
    """
    split = split or group
    rng = np.random.default_rng([settings.seed, zlib.crc32(split.encode()), index])
    traits = _draw_traits(settings, rng)
    wanted = SEEN
    for _ in range(0 if traits.late and settings.length in TOO_SHORT else 1000):
        viewport, layers = _plan(settings, traits, group, rng)
        if not _clear_start(settings.size, viewport, layers, traits):
            continue
        frames, masks = render(viewport, layers, settings.size, settings.length)
        if _settle(masks, traits, wanted):
            noise = rng.normal(0, 0.008, frames.shape).astype(np.float32)
            gain = motion.light(rng, settings.length, rng.uniform(0.4, 0.65) * traits.light)[:, None, None]
            pixels = (np.clip(frames * gain + noise, 0, 1) * 255).round().astype(np.uint8)
            return Clip(f"{split}{index:04d}", pixels, masks, traits.count)
        wanted -= 0.01
    raise InputError(
        f"expected clips with room for {traits.count} objects{' (one late)' if traits.late else ''}, found "
        f"length {settings.length} and size {settings.size} for clip {index} of {split}: make them longer or "
        "larger, or ask for fewer or no late objects"
    )


def render(
    viewport: Viewport, layers: list[Layer], size: int, length: int
) -> tuple[motion.Floats, NDArray[np.uint8]]:
    """Draw layers, the farthest first: frames float32 (T, S, S, 3) in [0, 1], ids uint8 (T, S, S)."""
    frames = np.empty((length, size, size, 3), np.float32)
    ids = np.zeros((length, size, size), np.uint8)
    for start in range(0, length, CHUNK):
        chunk = slice(start, min(start + CHUNK, length))
        frames[chunk] = background(viewport, size, chunk)
        for layer in layers:
            draw(frames[chunk], ids[chunk], layer, chunk)
    return frames, ids


def _draw_traits(settings: ClipSettings, rng: np.random.Generator) -> Traits:
    count = int(rng.integers(1, settings.objects + 1))
    chances = rng.random(5) < [
        settings.late,
        settings.leave,
        settings.distractors,
        settings.occluders,
        settings.light,
    ]
    late, leaves, distractor, occluded, light = (bool(chance) for chance in chances)
    return Traits(
        count=count,
        late=count if late and count > 1 else 0,
        leaver=int(rng.integers(1, count + 1)) * leaves,
        turns=tuple(bool(turn) for turn in rng.random(count) < settings.turn),
        distractor=distractor,
        occluders=int(rng.integers(1, 3)) * occluded,
        light=light,
        # Last and only where asked for: clips without it stay what they were, byte for byte.
        natural=bool(settings.natural and rng.random() < settings.natural),
    )


def _plan(
    settings: ClipSettings, traits: Traits, group: str, rng: np.random.Generator
) -> tuple[Viewport, list[Layer]]:
    """A scene and its layers from far to near."""
    starts = _starts(rng, traits.count + 1)
    hues = (
        rng.random() + np.arange(traits.count) / traits.count + rng.uniform(-0.08, 0.08, traits.count)
    ) % 1
    layers: list[Layer] = []
    for label, turns in enumerate(traits.turns, start=1):
        enter = int(rng.uniform(0.2, 0.45) * settings.length) if label == traits.late else 0
        look = _look(rng, group, float(hues[label - 1]), turns, traits.natural)
        largest = 0.33 - 0.04 * traits.count if traits.natural else 0.215 - 0.015 * traits.count
        radius = rng.uniform(0.14, largest)
        leaves = label == traits.leaver and not enter
        layers.append(_sprite(rng, settings, look, starts[label - 1], radius, turns, label, enter, leaves))
        if label == 1 and traits.distractor:
            layers.append(_sprite(rng, settings, look.like(rng), starts[-1], radius * 0.9, turns, 0))
    order = rng.permutation(len(layers))
    layers = [layers[place] for place in order]
    scene = surfaces.scene if traits.natural else photographs.scene
    layers += [_occluder(rng, settings, scene, group) for _ in range(traits.occluders)]
    return _viewport(rng, settings, scene(rng, group, settings.size)), layers


def _starts(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Starting places (count, 2) far apart from each other."""
    tries = rng.uniform(0.2, 0.8, (64, count, 2))
    gaps = np.linalg.norm(tries[:, :, None] - tries[:, None], axis=-1) + 9 * np.eye(count)
    return tries[gaps.min(axis=(1, 2)).argmax()]


def _look(rng: np.random.Generator, group: str, hue: float, turns: bool, skin: bool) -> Look:
    """What an object wears: a photograph in the hue of each face, or in colours of photographs."""
    candidates = photographs.names(group)
    faces = [hue, hue + rng.uniform(0.25, 0.75)] if turns else [hue]
    name = candidates[rng.integers(len(candidates))]
    if skin:
        return surfaces.Skin(name, len(faces), int(rng.integers(2**32)))
    return shapes.Tint(name, tuple(faces))


def _sprite(
    rng: np.random.Generator,
    settings: ClipSettings,
    look: Look,
    start: NDArray[np.float64],
    radius: float,
    turns: bool,
    label: int,
    enter: int = 0,
    leave: bool = False,
) -> Sprite:
    length, height = settings.length, max(16, round(3 * radius * settings.size))
    return Sprite(
        contour=look.contour(rng),
        ripples=shapes.ripples(rng),
        strip=look.strip(rng, height, round(2.1 * height)),
        centre=motion.wander(rng, length, start, radius, enter=enter, leave=leave),
        radius=(radius * (1 + motion.swing(rng, length, rng.uniform(0, 0.15), (20, 50)))).astype(np.float32),
        angle=motion.swing(rng, length, rng.uniform(0.1, 0.7), (20, 50)),
        longitude=motion.turning(rng, length) if turns else motion.swing(rng, length, 0.4, (20, 50)),
        label=label,
    )


def _occluder(rng: np.random.Generator, settings: ClipSettings, scene: Scene, group: str) -> Layer:
    """Scenery in front: a bar or a patch, cut from a scene, standing still or sweeping slowly."""
    length, size = settings.length, settings.size
    place = rng.uniform(0.2, 0.8, 2)
    moves = rng.random() < 0.5
    centre = motion.wander(rng, length, place, 0.1, pace=(20, 30)) if moves else np.tile(place, (length, 1))
    photo = scene(rng, group, size)
    if rng.random() < 0.6:
        angle = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)])
        return Bar(centre, float(angle), rng.uniform(0.05, 0.09), photo)
    still = np.zeros(length, np.float32)
    radius = np.full(length, rng.uniform(0.11, 0.17), np.float32)
    part = photo[: max(16, size // 2), : max(16, size)]
    return Sprite(shapes.contour(rng), shapes.ripples(rng, 0.0), part, centre, radius, still, still, 0)


def _viewport(rng: np.random.Generator, settings: ClipSettings, scene: NDArray[np.floating]) -> Viewport:
    length, size = settings.length, settings.size
    middle = np.array(scene.shape[:2]) / 2
    room = np.maximum(middle - size / 2, 0)
    drift = [motion.swing(rng, length, rng.uniform(0.3, 1) * float(side), (40, 90)) for side in room]
    zoom = 1 + motion.swing(rng, length, rng.uniform(0, 0.15), (30, 80))
    roll = motion.swing(rng, length, rng.uniform(0, 0.12), (30, 80))
    return Viewport(scene, (middle + np.stack(drift, axis=1)).astype(np.float32), zoom, roll)


def _clear_start(size: int, viewport: Viewport, layers: list[Layer], traits: Traits) -> bool:
    """Whether the objects of frame 0 stand clear: at least 2 % of the image and half of themselves."""
    ids = render(viewport, layers, size, 1)[1]
    shares = np.bincount(ids.ravel(), minlength=traits.count + 1) / ids.size
    judged = [s for s in layers if isinstance(s, Sprite) and s.label not in (0, traits.late)]
    return all(shares[s.label] >= max(1.1 * FIRST_AREA, 0.5 * np.pi * s.radius[0] ** 2) for s in judged)


def _settle(masks: NDArray[np.uint8], traits: Traits, wanted: float) -> bool:
    """Clear a late object's mask before its first clear frame; whether every object is seen often enough."""
    for label in range(1, traits.count + 1):
        mask = masks == label
        area = mask.mean(axis=(1, 2))
        if label == traits.late:
            clear = np.nonzero(area >= max(1.1 * FIRST_AREA, 0.6 * area.max()))[0]
            if len(clear) == 0 or clear[0] > 0.75 * len(area):
                return False
            masks[: clear[0]][mask[: clear[0]]] = 0
            area = area[clear[0] :]
        if (area > 0.25 * area.max()).mean() < wanted:
            return False
    return True
