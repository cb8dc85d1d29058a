"""Static images with masks for pre-training: textured shapes on photographs or piles of surfaces."""

import zlib

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stremn.data.photographs import GROUPS
from stremn.generate.procedural import ClipSettings, make_clip
from stremn.settings import Settings


class ImageSettings(Settings):
    """Static images."""

    images: int = Field(default=300, ge=1)
    """How many images."""
    size: int = Field(default=80, ge=32)
    """Side of the square images, pixels."""
    objects: int = Field(default=3, ge=1, le=3)
    """Largest number of objects; 1 to this, evenly."""
    natural: float = Field(default=0, ge=0, le=1)
    """Probability of natural colours and larger objects, some with limbs."""
    seed: int = Field(default=0, ge=0)
    """Same seed, same images, byte for byte."""


def make_image(settings: ImageSettings, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Image ``index``: uint8 (S, S, 3) and ids uint8 (S, S), photographs from the training group only."""
    scene = ClipSettings(
        clips=1,
        length=2,
        size=settings.size,
        objects=settings.objects,
        occluders=0.15,
        leave=0,
        late=0,
        natural=settings.natural,
        seed=zlib.crc32(f"{settings.seed}".encode()),
    )
    clip = make_clip(scene, next(iter(GROUPS)), index, split="static")
    return clip.frames[0], clip.masks[0]
