"""Grey videos of articulated figures performing KTH's six actions in its four scenes.

d1 outdoors, d2 outdoors with a changing distance, d3 outdoors in other clothes, d4 indoors and darker.
T frames, S the image side.
"""

import zlib
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.ndimage import gaussian_filter

from stremn.generate.skeleton import GAITS, PARTS, Person, draw_person, pose, segments
from stremn.settings import Settings

Floats = NDArray[np.floating]
Action = Literal["boxing", "handclapping", "handwaving", "jogging", "running", "walking"]
ALL_ACTIONS: tuple[Action, ...] = get_args(Action)
# Frames of one cycle, and image sides travelled per cycle by an average person.
CYCLE = {"boxing": 16, "handclapping": 16, "handwaving": 26, "walking": 26, "jogging": 18, "running": 14}
STRIDE = {"walking": 0.42, "jogging": 0.55, "running": 0.7}
BEYOND = 0.1  # how far outside the frame a walking figure turns back, image sides


class WalkerSettings(Settings):
    """Walkers of all splits; people are numbered from 1: training first, then validation, then test."""

    train: int = Field(default=8, ge=1)
    """People to train on."""
    val: int = Field(default=2, ge=1)
    """People to validate on."""
    test: int = Field(default=4, ge=1)
    """People to test on."""
    length: int = Field(default=48, ge=2)
    """Frames of each video."""
    size: int = Field(default=64, ge=32)
    """Side of the square frames, pixels."""
    actions: tuple[Action, ...] = Field(default=ALL_ACTIONS, min_length=1)
    """KTH's actions."""
    scenes: tuple[Literal[1, 2, 3, 4], ...] = Field(default=(1, 2, 3, 4), min_length=1)
    """KTH's scenes d1–d4."""
    seed: int = Field(default=0, ge=0)
    """Same seed, same videos, byte for byte."""


def make_video(settings: WalkerSettings, number: int, action: str, scene: int) -> NDArray[np.uint8]:
    """The video of one person, action and scene: uint8 (T, S, S)."""
    person = draw_person(np.random.default_rng([settings.seed, number]))
    rng = np.random.default_rng([settings.seed, number, zlib.crc32(action.encode()), scene])
    length, size = settings.length, settings.size
    frames = np.arange(length, dtype=np.float32)
    cycle = CYCLE[action] / person.tempo
    phase = 2 * np.pi * frames / cycle + rng.uniform(0, 2 * np.pi)
    height = person.height * _distance(rng, scene, length)
    x, facing = _travel(rng, person, action, cycle, length)
    ground = np.float32(rng.uniform(0.86, 0.9)) - 0.3 * (0.75 - height).clip(0)
    video = np.repeat(_place(rng, scene, size)[None], length, axis=0)
    video += rng.normal(0, 0.004, video.shape).astype(np.float32)
    shades = _shades(person, scene)
    for part, (start, end, width) in segments(person, pose(person, action, phase)).items():
        ends = [
            np.stack([x + facing * p[:, 0] * height, ground + p[:, 1] * height], axis=1) for p in (start, end)
        ]
        shades[part] = (*shades[part][:1], ends[0], ends[1], width * height)
    for part in PARTS:
        _paint(video, *shades[part])
    return (np.clip(video, 0, 1) * 255).round().astype(np.uint8)


def _distance(rng: np.random.Generator, scene: int, length: int) -> Floats:
    """Apparent size over time, (T,): changes in scene d2 only."""
    if scene != 2:
        return np.full(length, rng.uniform(0.95, 1.05), np.float32)
    wave = np.sin(2 * np.pi * np.arange(length) / rng.uniform(50, 90) + rng.uniform(0, 2 * np.pi))
    return (0.85 + 0.2 * wave).astype(np.float32)


def _travel(
    rng: np.random.Generator, person: Person, action: str, cycle: float, length: int
) -> tuple[Floats, Floats]:
    """Where the hip is, (T,) in image sides, and where the figure faces, (T,) +1 right or −1 left.

    Gaits cross the frame, go out at one side and come back from there, again and again, as in KTH.
    """
    side = 1.0 if rng.random() < 0.5 else -1.0
    if action not in GAITS:
        sway = 0.006 * np.sin(2 * np.pi * np.arange(length) / 40)
        return (rng.uniform(0.42, 0.58) + sway).astype(np.float32), np.full(length, side, np.float32)
    way = STRIDE[action] * person.swing / cycle * np.arange(length) + rng.uniform(0.15, 0.5)
    span = 1 + 2 * BEYOND
    lap = np.floor(way / span)
    x = way - lap * span - BEYOND
    facing = np.where(lap % 2 == 0, side, -side)
    return np.where(facing > 0, x, 1 - x).astype(np.float32), facing.astype(np.float32)


def _place(rng: np.random.Generator, scene: int, size: int) -> Floats:
    """The empty scene (S, S): a plain lawn with soft unevenness, or a dark room with wall and floor."""
    rows = np.linspace(0, 1, size, dtype=np.float32)[:, None]
    rough = gaussian_filter(rng.standard_normal((size, size)), size / 24, mode="reflect")
    rough = (rough / rough.std()).astype(np.float32)
    if scene == 4:
        wall, floor = rng.uniform(0.4, 0.5), rng.uniform(0.3, 0.37)
        edge = np.clip((rows - rng.uniform(0.66, 0.76)) * size + 0.5, 0, 1)
        return (wall * (1 - 0.25 * rows) * (1 - edge) + floor * edge + 0.008 * rough).astype(np.float32)
    sky = rng.uniform(0.62, 0.78)
    return (sky - rng.uniform(0.04, 0.16) * rows + 0.014 * rough).astype(np.float32)


def _shades(person: Person, scene: int) -> dict[str, tuple]:
    """Brightness of each part; the far side is darker, scene 4 is darker all over."""
    clothes = int(scene == 3)
    dim = 0.6 if scene == 4 else 1.0
    shirt, trousers = person.shirt[clothes] * dim, person.trousers[clothes] * dim
    shade = {"torso": shirt, "neck": person.skin * dim, "head": person.skin * dim}
    for side, light in (("near", 1.0), ("far", 0.75)):
        shade[f"{side}_arm"] = shirt * light * 0.92
        shade[f"{side}_forearm"] = person.skin * dim * light
        shade[f"{side}_thigh"] = shade[f"{side}_shin"] = trousers * light
    return {part: (np.float32(value),) for part, value in shade.items()}


def _paint(video: Floats, shade: np.float32, start: Floats, end: Floats, width: Floats) -> None:
    """Draw a capsule of half thickness (T,) from start (T, 2) to end (T, 2) into the video, antialiased."""
    size = video.shape[1]
    centres = ((np.arange(size) + 0.5) / size).astype(np.float32)
    low = max(0, int(np.floor((min(start[:, 1].min(), end[:, 1].min()) - width.max()) * size)) - 1)
    high = min(size, int(np.ceil((max(start[:, 1].max(), end[:, 1].max()) + width.max()) * size)) + 1)
    if low >= high:
        return
    axis = end - start
    dx = centres[None, None, :] - start[:, 0, None, None]
    dy = centres[None, low:high, None] - start[:, 1, None, None]
    ax, ay = axis[:, 0, None, None], axis[:, 1, None, None]
    along = np.clip((dx * ax + dy * ay) / (ax**2 + ay**2 + 1e-8), 0, 1)
    distance = np.hypot(dx - along * ax, dy - along * ay)
    cover = np.clip((width[:, None, None] - distance) * size + 0.5, 0, 1)
    video[:, low:high] += cover * (shade - video[:, low:high])
