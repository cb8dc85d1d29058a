"""Scenes, textures and contours with the statistics of photographs, without end, from random numbers.

The photographs that come with scikit-image are few and the tinted objects of ``shapes`` colourful: a network
trained on them alone follows colour and loses a grey dog on grey ground. Here every surface is 1/f noise,
stripes or a photograph in natural colours, and every scene may be a pile of such surfaces ("dead leaves":
Lee, Mumford & Huang, Occlusion models for natural images, IJCV 2001; such pictures suffice to learn features
that carry over to photographs: Baradad et al., Learning to see by looking at noise, NeurIPS 2021).
"""

import colorsys
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.draw import polygon

from stremn.data import photographs
from stremn.generate import shapes

Floats = NDArray[np.floating]
REACH = 1.6  # largest radius of a contour, in units of the object's radius; the drawing cuts at 1.9, ripples included


def noise(rng: np.random.Generator, height: int, width: int, power: float) -> Floats:
    """Noise (height, width) with amplitude 1/f^power, mean 0, deviation 1."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1
    waves = np.fft.rfft2(rng.standard_normal((height, width))) / frequency**power
    waves[0, 0] = 0
    field = np.fft.irfft2(waves, (height, width))
    return (field / (field.std() + 1e-9)).astype(np.float32)


def colour(rng: np.random.Generator) -> Floats:
    """A colour (3,) as photographs have them: mostly dull, of any brightness."""
    hue, saturation, value = rng.random(), rng.beta(1.3, 3.0), rng.uniform(0.08, 0.95)
    return np.asarray(colorsys.hsv_to_rgb(hue, saturation, value), dtype=np.float32)


def surface(rng: np.random.Generator, height: int, width: int) -> Floats:
    """A grained or striped surface (height, width, 3) in [0, 1] of two or three colours."""
    ground = colour(rng)
    image = np.broadcast_to(ground, (height, width, 3)).copy()
    for _ in range(rng.integers(1, 3)):
        other = np.clip(ground + rng.normal(0, 0.25, 1) + rng.normal(0, 0.08, 3), 0, 1).astype(np.float32)
        field = noise(rng, height, width, rng.uniform(0.6, 1.8))
        if rng.random() < 0.25:  # stripes, bent by the noise
            turn, wave = rng.uniform(0, np.pi), rng.uniform(4, 16) * 2 * np.pi / max(height, width)
            y, x = np.mgrid[:height, :width]
            field = 1.5 * np.sin(wave * (np.cos(turn) * y + np.sin(turn) * x) + 0.8 * field)
        weight = np.clip(0.5 + rng.uniform(0.2, 0.9) * (field - rng.normal(0, 0.5)), 0, 1)[..., None]
        image += weight.astype(np.float32) * (other - image)
    return np.clip(image, 0, 1)


def recoloured(rng: np.random.Generator, image: Floats) -> Floats:
    """An image (h, w, 3) in [0, 1] with other strength of colour, colour cast, contrast and brightness."""
    grey = image.mean(axis=2, keepdims=True)
    image = grey + rng.uniform(0.1, 1.2) * (image - grey)
    image = image * rng.uniform(0.6, 1.2) * rng.uniform(0.85, 1.15, 3) + rng.uniform(-0.1, 0.15)
    return np.clip(image, 0, 1).astype(np.float32)


def leaves(rng: np.random.Generator, pixels: int) -> Floats:
    """A pile of surfaces (S, S, 3): polygons of many sizes over each other, S from 1.3 to 1.8 times ``pixels``."""
    side = round(pixels * rng.uniform(1.3, 1.8))
    image = surface(rng, side, side)
    smallest, largest = 0.02, rng.uniform(0.15, 0.4)
    for _ in range(rng.integers(30, 160)):
        # the density of radii falls with their cube
        radius = side * smallest / np.sqrt(1 - rng.random() * (1 - (smallest / largest) ** 2))
        y, x = rng.uniform(-0.1, 1.1, 2) * side
        turn, stretch, corners = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 1), rng.integers(3, 17)
        angles = np.sort(rng.uniform(0, 2 * np.pi, corners)) if corners < 7 else np.linspace(0, 6.28, corners)
        u, v = radius * np.cos(angles), radius * stretch * np.sin(angles)
        rows, columns = polygon(
            y + np.cos(turn) * v + np.sin(turn) * u, x - np.sin(turn) * v + np.cos(turn) * u, (side, side)
        )
        if len(rows):
            top, left = rows.min(), columns.min()
            patch = surface(rng, int(rows.max() - top + 1), int(columns.max() - left + 1))
            image[rows, columns] = patch[rows - top, columns - left]
    return image


def scene(rng: np.random.Generator, group: str, pixels: int) -> Floats:
    """A background (H, W, 3) in [0, 1]: a photograph of the group (``photographs.scene``) or ``leaves``, recoloured."""
    image = photographs.scene(rng, group, pixels) if rng.random() < 0.5 else leaves(rng, pixels)
    if rng.random() < 0.3:  # out of focus
        blur = rng.uniform(0.5, 2.5)
        image = gaussian_filter(image, (blur, blur, 0))
    return recoloured(rng, image)


def contour(rng: np.random.Generator) -> Floats:
    """Radii (256,) as of ``shapes.contour``, half of them with two to five limbs, mean square 1 or a little less."""
    radii = shapes.contour(rng)
    if rng.random() < 0.5:
        theta = np.linspace(0, 2 * np.pi, shapes.ANGLES, endpoint=False)
        for _ in range(rng.integers(2, 6)):
            narrow = np.exp(rng.uniform(8, 60) * (np.cos(theta - rng.uniform(0, 2 * np.pi)) - 1))
            radii = radii * (1 + rng.uniform(0.3, 1.2) * narrow)
        radii = radii / np.sqrt(np.mean(radii**2))
    return np.clip(radii, 0.25, REACH).astype(np.float32)


@dataclass(frozen=True)
class Skin:
    """What an object wears.

    Attributes:
        name: photograph of the faces that show one.
        faces: how many sides with a texture of their own.
        seed: of all textures. At another size a photograph stays, a surface only keeps its ground colour.
        tone: gain per channel.
    """

    name: str
    faces: int
    seed: int
    tone: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @staticmethod
    def contour(rng: np.random.Generator) -> Floats:
        """A contour, with limbs in half of the cases."""
        return contour(rng)

    def like(self, rng: np.random.Generator) -> "Skin":
        """A look-alike: the same seed, a fifth darker or brighter."""
        red, green, blue = rng.choice([0.8, 1.2]) * rng.uniform(0.9, 1.1, 3)
        return replace(self, tone=(float(red), float(green), float(blue)))

    def strip(self, _: np.random.Generator, height: int, width: int) -> Floats:
        """A texture (height, about width, 3) in [0, 1] as of ``Tint.strip``; the seed alone decides."""
        rng = np.random.default_rng(self.seed)
        face = shapes.face_width(width, self.faces)
        parts = [self._face(rng, height, face) for _ in range(self.faces)]
        return np.clip(shapes.around(parts) * np.asarray(self.tone, dtype=np.float32), 0, 1)

    def _face(self, rng: np.random.Generator, height: int, width: int) -> Floats:
        if rng.random() < 0.5:
            return recoloured(rng, photographs.crop(rng, self.name, height, width))
        face = surface(rng, height, width)
        if rng.random() < 0.5:  # parts of another colour: a head, a saddle, a shirt
            cut = rng.uniform(0.2, 0.8) + 0.15 * noise(rng, height, width, 1.6)
            below = np.linspace(0, 1, height, dtype=np.float32)[:, None] > cut
            face = np.where(below[..., None], surface(rng, height, width), face)
        return face
