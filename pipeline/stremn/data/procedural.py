"""Video clips that need a memory: textured, deforming objects over moving photographs.

What makes a clip hard comes with a probability each: occlusion by scenery, look-alikes without a label,
objects that leave the frame and return, that turn and show other faces, light that goes and comes back,
an object that appears late. Occlusion of objects by one another happens wherever their paths cross.
"""

import zlib

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stremn.data import motion, photographs, shapes
from stremn.data.clips import Clip
from stremn.data.render import Bar, Camera, Layer, Sprite, background, draw
from stremn.settings import Settings

CHUNK = 64  # frames drawn at once
FIRST_AREA = 0.02  # least visible share of the image in an object's first frame


class ClipSettings(Settings):
    """One split of generated clips. Probabilities are per clip unless said otherwise."""

    clips: int = Field(default=16, ge=1, description="how many clips")
    length: int = Field(default=24, ge=2, description="frames of each clip")
    size: int = Field(default=64, ge=32, description="side of the square frames, pixels")
    objects: int = Field(default=3, ge=1, le=3, description="largest number of labelled objects; 1 to this, evenly")
    occluders: float = Field(default=0.35, ge=0, le=1, description="probability of scenery in front")
    distractors: float = Field(default=0.3, ge=0, le=1, description="probability of an unlabelled look-alike")
    leave: float = Field(default=0.3, ge=0, le=1, description="probability that one object leaves and returns")
    turn: float = Field(default=0.4, ge=0, le=1, description="probability, per object, of turning round")
    light: float = Field(default=0.3, ge=0, le=1, description="probability that the light changes and returns")
    late: float = Field(default=0.1, ge=0, le=1, description="probability that the last object appears mid-video")
    seed: int = Field(default=0, ge=0, description="same seed, same clips, byte for byte")


def make_clip(settings: ClipSettings, group: str, index: int, split: str | None = None) -> Clip:
    """Clip ``index`` of a split.

    Args:
        group: photographs to use: "train", "val" or "test".
        split: the split's name, part of the seed; the group when None.

    Returns frames uint8 (T, S, S, 3) and masks uint8 (T, S, S) of ids 0..n. Each object covers at least
    2 % of the image in its first frame; a late one has no mask before it is that visible.
    """
    split = split or group
    rng = np.random.default_rng([settings.seed, zlib.crc32(split.encode()), index])
    for _ in range(200):
        camera, layers, late = _plan(settings, group, rng)
        count = sum(layer.label > 0 for layer in layers)
        if not _clear_start(settings.size, camera, layers, count - late):
            continue
        frames, masks = render(camera, layers, settings.size, settings.length)
        if _settle(masks, count, late):
            noise = rng.normal(0, 0.008, frames.shape).astype(np.float32)
            gain = _gain(settings, rng)[:, None, None]
            pixels = (np.clip(frames * gain + noise, 0, 1) * 255).round().astype(np.uint8)
            return Clip(f"{split}{index:04d}", pixels, masks, count)
    raise RuntimeError(f"no clip found with {settings} for {split} {index}")


def render(camera: Camera, layers: list[Layer], size: int, length: int) -> tuple[motion.Floats, NDArray[np.uint8]]:
    """Draw layers, the farthest first: frames float32 (T, S, S, 3) in [0, 1], ids uint8 (T, S, S)."""
    frames = np.empty((length, size, size, 3), np.float32)
    ids = np.zeros((length, size, size), np.uint8)
    for start in range(0, length, CHUNK):
        chunk = slice(start, min(start + CHUNK, length))
        frames[chunk] = background(camera, size, chunk)
        for layer in layers:
            draw(frames[chunk], ids[chunk], layer, chunk)
    return frames, ids


def _plan(settings: ClipSettings, group: str, rng: np.random.Generator) -> tuple[Camera, list[Layer], int]:
    """A scene, its layers from far to near, and how many of its objects are late (0 or 1)."""
    count = int(rng.integers(1, settings.objects + 1))
    late = int(count > 1 and rng.random() < settings.late)
    leaver = int(rng.integers(1, count + 1)) if rng.random() < settings.leave else 0
    starts = _starts(rng, count + 1)
    hues = (rng.random() + np.arange(count) / count + rng.uniform(-0.08, 0.08, count)) % 1
    layers: list[Layer] = []
    for label in range(1, count + 1):
        enter = int(rng.uniform(0.2, 0.5) * settings.length) if late and label == count else 0
        turns = rng.random() < settings.turn
        looks = _looks(rng, group, float(hues[label - 1]), turns)
        radius = rng.uniform(0.14, 0.215 - 0.015 * count)
        layers.append(
            _sprite(rng, settings, looks, starts[label - 1], radius, turns, label, enter, leave=label == leaver)
        )
        if label == 1 and rng.random() < settings.distractors:
            name, faces = looks
            shifted = [hue + rng.choice([-1, 1]) * rng.uniform(0.03, 0.07) for hue in faces]
            layers.append(_sprite(rng, settings, (name, shifted), starts[-1], radius * 0.9, turns, 0))
    rng.shuffle(layers)  # type: ignore[arg-type]
    if rng.random() < settings.occluders:
        layers += [_occluder(rng, settings, group) for _ in range(rng.integers(1, 3))]
    return _camera(rng, settings, group), layers, late


def _starts(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Starting places (count, 2) far apart from each other."""
    tries = rng.uniform(0.2, 0.8, (64, count, 2))
    gaps = np.linalg.norm(tries[:, :, None] - tries[:, None], axis=-1) + 9 * np.eye(count)
    return tries[gaps.min(axis=(1, 2)).argmax()]


def _looks(rng: np.random.Generator, group: str, hue: float, turns: bool) -> tuple[str, list[float]]:
    """A photograph and the hue of each face of an object."""
    candidates = photographs.names(group)
    faces = [hue, hue + rng.uniform(0.25, 0.75)] if turns else [hue]
    return candidates[rng.integers(len(candidates))], faces


def _sprite(
    rng: np.random.Generator,
    settings: ClipSettings,
    looks: tuple[str, list[float]],
    start: NDArray[np.float64],
    radius: float,
    turns: bool,
    label: int,
    enter: int = 0,
    leave: bool = False,
) -> Sprite:
    length, height = settings.length, max(16, round(3 * radius * settings.size))
    return Sprite(
        contour=shapes.contour(rng),
        ripples=shapes.ripples(rng),
        strip=shapes.strip(rng, *looks, height, round(2.1 * height)),
        centre=motion.wander(rng, length, start, radius, enter=enter, leave=leave),
        radius=(radius * (1 + motion.swing(rng, length, rng.uniform(0, 0.15), (20, 50)))).astype(np.float32),
        angle=motion.swing(rng, length, rng.uniform(0.1, 0.7), (20, 50)),
        longitude=motion.turning(rng, length) if turns else motion.swing(rng, length, 0.4, (20, 50)),
        label=label,
    )


def _occluder(rng: np.random.Generator, settings: ClipSettings, group: str) -> Layer:
    """Scenery in front: a bar or a patch, cut from a photograph, standing still or sweeping slowly."""
    length, size = settings.length, settings.size
    place = rng.uniform(0.2, 0.8, 2)
    moves = rng.random() < 0.5
    centre = motion.wander(rng, length, place, 0.1, pace=(20, 30)) if moves else np.float32(np.tile(place, (length, 1)))
    photo = photographs.scene(rng, group, size)
    if rng.random() < 0.6:
        angle = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)])
        return Bar(centre, float(angle), rng.uniform(0.05, 0.09), photo)
    still = np.zeros(length, np.float32)
    radius = np.full(length, rng.uniform(0.11, 0.17), np.float32)
    part = photo[: max(16, size // 2), : max(16, size)]
    return Sprite(shapes.contour(rng), shapes.ripples(rng, 0.0), part, centre, radius, still, still, 0)


def _camera(rng: np.random.Generator, settings: ClipSettings, group: str) -> Camera:
    length, size = settings.length, settings.size
    scene = photographs.scene(rng, group, size)
    middle = np.array(scene.shape[:2]) / 2
    room = np.maximum(middle - size / 2, 0)
    drift = [motion.swing(rng, length, rng.uniform(0.3, 1) * float(side), (40, 90)) for side in room]
    zoom = 1 + motion.swing(rng, length, rng.uniform(0, 0.15), (30, 80))
    roll = motion.swing(rng, length, rng.uniform(0, 0.12), (30, 80))
    return Camera(scene, (middle + np.stack(drift, axis=1)).astype(np.float32), zoom, roll)


def _gain(settings: ClipSettings, rng: np.random.Generator) -> motion.Floats:
    changes = rng.random() < settings.light
    return motion.light(rng, settings.length, rng.uniform(0.4, 0.65) if changes else 0.0)


def _clear_start(size: int, camera: Camera, layers: list[Layer], count: int) -> bool:
    """Whether objects 1..count stand clear in frame 0: at least 2 % of the image and half of themselves."""
    ids = render(camera, layers, size, 1)[1]
    sprites = [layer for layer in layers if isinstance(layer, Sprite) and 0 < layer.label <= count]
    return all(_clear(ids == s.label, float(s.radius[0]))[0] for s in sprites)


def _clear(mask: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Frames (T,) in which an object of this radius is clearly visible in its mask (T, S, S)."""
    return mask.mean(axis=(1, 2)) >= max(1.1 * FIRST_AREA, 0.5 * np.pi * radius**2)


def _settle(masks: NDArray[np.uint8], count: int, late: int) -> bool:
    """Clear a late object's mask before its first clear frame; whether every object is seen often enough."""
    for label in range(1, count + 1):
        mask = masks == label
        area = mask.mean(axis=(1, 2))
        if late and label == count:
            clear = np.nonzero(area >= max(1.1 * FIRST_AREA, 0.6 * area.max()))[0]
            if len(clear) == 0 or clear[0] > 0.75 * len(area):
                return False
            masks[: clear[0]][mask[: clear[0]]] = 0
            area = area[clear[0] :]
        if (area > 0.25 * area.max()).mean() < 0.6:
            return False
    return True
