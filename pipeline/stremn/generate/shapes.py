"""Contours and textures of the generated objects.

A contour is the radius as a function of the angle, in units of the object's radius, scaled so that the
area is π. A texture is a strip wrapped around the object like a label around a jar: 2π of longitude wide.
"""

import colorsys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stremn.data import photographs

ANGLES = 256
Floats = NDArray[np.floating]


def contour(rng: np.random.Generator) -> Floats:
    """A random contour: radii (256,) at equally spaced angles, mean square 1."""
    theta = np.linspace(0, 2 * np.pi, ANGLES, endpoint=False)
    kind = rng.choice(["blob", "polygon", "superellipse", "star"], p=[0.4, 0.25, 0.25, 0.1])
    if kind == "blob":
        radii = 1 + sum(
            rng.uniform(0, 0.28) / (k - 1) ** 0.5 * np.cos(k * theta + rng.uniform(0, 2 * np.pi))
            for k in range(2, 6)
        )
    elif kind == "polygon":
        wedge = 2 * np.pi / rng.integers(3, 7)
        radii = np.cos(wedge / 2) / np.cos(theta % wedge - wedge / 2)
    elif kind == "superellipse":
        power, aspect = rng.uniform(1.2, 5), rng.uniform(0.6, 1)
        radii = (np.abs(np.cos(theta)) ** power + np.abs(np.sin(theta) / aspect) ** power) ** (-1 / power)
    else:
        radii = 1 + rng.uniform(0.2, 0.35) * np.cos(rng.integers(4, 7) * theta)
    radii = np.maximum(radii, 0.35)
    return (radii / np.sqrt(np.mean(radii**2))).astype(np.float32)


def ripples(rng: np.random.Generator, strength: float = 0.12) -> Floats:
    """Coefficients (3, 4) of the contour's breathing: wave number, amplitude, phase, radians per frame."""
    waves = np.arange(2, 5)
    speed = rng.uniform(0.1, 0.35, 3)
    phase = rng.uniform(0, 2 * np.pi, 3)
    amplitude = rng.uniform(0.3, 1, 3) * strength / (waves - 1) ** 0.5
    return np.stack([waves, amplitude, phase, speed], axis=1).astype(np.float32)


def tint(image: Floats, hue: float, saturation: float, keep: float = 0.25) -> Floats:
    """An image (h, w, 3) redrawn in shades of one hue, with a share ``keep`` of its own colours left."""
    grey = image.mean(axis=2)
    level = np.clip(0.5 + 0.24 * (grey - grey.mean()) / (grey.std() + 1e-3), 0, 1)[..., None]
    bright = np.asarray(colorsys.hsv_to_rgb(hue % 1, saturation, 1.0), dtype=np.float32)
    dark = 0.22 * np.asarray(colorsys.hsv_to_rgb(hue % 1, 1.0, 1.0), dtype=np.float32) + 0.03
    return ((1 - keep) * (dark + (bright - dark) * level) + keep * image).astype(np.float32)


@dataclass(frozen=True)
class Tint:
    """What an object wears: a photograph redrawn in one hue per face."""

    name: str
    hues: tuple[float, ...]

    @staticmethod
    def contour(rng: np.random.Generator) -> Floats:
        """A contour without limbs."""
        return contour(rng)

    def strip(self, rng: np.random.Generator, height: int, width: int) -> Floats:
        """A texture strip (height, about width, 3), its faces cut from the photograph (``around``)."""
        face = face_width(width, len(self.hues))
        return around(
            [
                tint(photographs.crop(rng, self.name, height, face), hue, rng.uniform(0.45, 0.85))
                for hue in self.hues
            ]
        )

    def like(self, rng: np.random.Generator) -> "Tint":
        """A look-alike: the same photograph, hues a little off."""
        return Tint(
            self.name, tuple(hue + rng.choice([-1, 1]) * rng.uniform(0.03, 0.07) for hue in self.hues)
        )


def face_width(width: int, faces: int) -> int:
    """Columns of each face that ``around`` joins to a strip of about ``width``."""
    return max(4, width // max(2, faces))


def around(faces: list[Floats]) -> Floats:
    """Faces (h, w, 3) side by side; one alone is mirrored once around, so that its ends meet."""
    if len(faces) == 1:
        faces = [faces[0], faces[0][:, ::-1]]
    return np.ascontiguousarray(np.concatenate(faces, axis=1))
