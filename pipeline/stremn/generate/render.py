"""Drawing: a photograph seen through a moving window, and layers over it, all frames of a chunk at once.

T frames, S the image side in pixels. Positions are (y, x) in units of the side. Edges are antialiased by
the distance to the contour; a pixel belongs to a layer when at least half of it is covered.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from stremn.generate.shapes import ANGLES

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Sprite:
    """A deforming textured body over T frames.

    contour (256,), ripples (3, 4) and strip (h, w, 3) as in ``shapes``; centre (T, 2), radius (T,),
    angle (T,) in the image plane and longitude (T,) around the body's axis, both in radians;
    label: object id, or 0 when it belongs to the background.
    """

    contour: Floats
    ripples: Floats
    strip: Floats
    centre: Floats
    radius: Floats
    angle: Floats
    longitude: Floats
    label: int


@dataclass(frozen=True)
class Bar:
    """A straight band of scenery in front of everything: (T, 2) centre, direction, half width, photograph."""

    centre: Floats
    angle: float
    half_width: float
    scene: Floats
    label: int = 0


Layer = Sprite | Bar


@dataclass(frozen=True)
class Viewport:
    """A window on a photograph: centre (T, 2) in its pixels, its pixels per pixel (T,), roll (T,)."""

    scene: Floats
    centre: Floats
    zoom: Floats
    roll: Floats


def background(viewport: Viewport, size: int, frames: slice) -> Floats:
    """The photograph through the window: float32 (T, S, S, 3)."""
    y, x = _pixel_grid(size)
    y, x = (y - 0.5) * size, (x - 0.5) * size
    roll, zoom = viewport.roll[frames, None, None], viewport.zoom[frames, None, None]
    rows = zoom * (np.cos(roll) * y - np.sin(roll) * x) + viewport.centre[frames, 0, None, None]
    columns = zoom * (np.sin(roll) * y + np.cos(roll) * x) + viewport.centre[frames, 1, None, None]
    return sample(viewport.scene, rows, columns)


def sample(image: Floats, rows: Floats, columns: Floats) -> Floats:
    """Bilinear values (…, 3) of an image (h, w, 3) at pixel positions, mirrored beyond its edges."""
    channels = [
        map_coordinates(image[..., c], [rows, columns], order=1, mode="mirror", output=np.float32)
        for c in range(3)
    ]
    return np.stack(channels, axis=-1)


def draw(images: Floats, ids: NDArray[np.uint8], layer: Layer, frames: slice) -> None:
    """Draw one layer over images (T, S, S, 3) and id maps (T, S, S), in place."""
    size = images.shape[1]
    cover = _cover_bar(layer, size, frames) if isinstance(layer, Bar) else _cover_sprite(layer, size, frames)
    where, alpha, colour = cover
    images[where] += alpha[:, None] * (colour - images[where])
    solid = tuple(axis[alpha >= 0.5] for axis in where)
    ids[solid] = layer.label


Cover = tuple[tuple[NDArray[np.intp], ...], Floats, Floats]


def _cover_sprite(sprite: Sprite, size: int, frames: slice) -> Cover:
    """Where a sprite covers the chunk: indices (t, y, x), coverage (n,), colours (n, 3)."""
    y, x = _pixel_grid(size)
    radius = sprite.radius[frames]
    dy = y - sprite.centre[frames, 0, None, None]
    dx = x - sprite.centre[frames, 1, None, None]
    reach = (1.9 * radius + 1 / size)[:, None, None]
    where = np.nonzero((np.abs(dy) < reach) & (np.abs(dx) < reach))
    t = where[0]
    dy, dx = dy[t, where[1], 0] / radius[t], dx[t, 0, where[2]] / radius[t]
    turn = sprite.angle[frames][t]
    v, u = np.cos(turn) * dy - np.sin(turn) * dx, np.sin(turn) * dy + np.cos(turn) * dx
    theta = np.arctan2(v, u)
    edge = np.interp(
        theta, np.linspace(-np.pi, np.pi, ANGLES + 1), np.append(sprite.contour, sprite.contour[0])
    )
    time = t + (frames.start or 0)
    for wave, amplitude, phase, speed in sprite.ripples:
        edge = edge * (1 + amplitude * np.sin(speed * time + phase) * np.cos(wave * theta + phase))
    alpha = np.clip((edge - np.hypot(u, v)) * radius[t] * size + 0.5, 0, 1).astype(np.float32)
    inside = alpha > 0
    t, u, v = t[inside], u[inside], v[inside]
    return (
        tuple(axis[inside] for axis in where),
        alpha[inside],
        _wrap(sprite, sprite.longitude[frames][t], u, v),
    )


def _wrap(sprite: Sprite, longitude: Floats, u: Floats, v: Floats) -> Floats:
    """Colours (n, 3) of the strip around a body whose axis is upright, slightly darker towards its rim."""
    height, width = sprite.strip.shape[:2]
    across = np.clip(u / 1.5, -1, 1)
    columns = ((np.arcsin(across) + longitude) / (2 * np.pi) + 0.25) % 1 * width
    closed = np.concatenate([sprite.strip, sprite.strip[:, :1]], axis=1)
    rows = (np.clip(v / 1.5, -1, 1) + 1) / 2 * (height - 1)
    shade = 0.7 + 0.3 * np.sqrt(1 - across**2)
    return sample(closed, rows, columns) * shade[:, None].astype(np.float32)


def _cover_bar(bar: Bar, size: int, frames: slice) -> Cover:
    y, x = _pixel_grid(size)
    centre = bar.centre[frames]
    distance = np.cos(bar.angle) * (y - centre[:, 0, None, None]) + np.sin(bar.angle) * (
        x - centre[:, 1, None, None]
    )
    alpha = np.clip((bar.half_width - np.abs(distance)) * size + 0.5, 0, 1).astype(np.float32)
    where = np.nonzero(alpha)
    rows = (where[1] / size - centre[where[0], 0] + 1) * size
    columns = (where[2] / size - centre[where[0], 1] + 1) * size
    return where, alpha[where], sample(bar.scene, rows, columns)


def _pixel_grid(size: int) -> tuple[Floats, Floats]:
    centres = ((np.arange(size) + 0.5) / size).astype(np.float32)
    return centres[None, :, None], centres[None, None, :]
