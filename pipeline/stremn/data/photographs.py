"""The photographs that scikit-image ships in its wheel, in three groups that share no picture.

Backgrounds and object textures of a split come from its own group only, so that a test clip shows
neither a scene nor a texture seen in training. Files that scikit-image would download are not used.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import skimage
from numpy.typing import NDArray
from PIL import Image

from stremn.errors import InputError

# The two motorcycle pictures are a stereo pair of one scene: always in one group.
GROUPS: dict[str, tuple[str, ...]] = {
    "train": (
        "astronaut.png",
        "chelsea.png",
        "motorcycle_left.png",
        "motorcycle_right.png",
        "ihc.png",
        "hubble_deep_field.jpg",
        "camera.png",
        "brick.png",
        "page.png",
    ),
    "val": ("rocket.jpg", "gravel.png", "cell.png", "text.png"),
    "test": ("coffee.png", "retina.jpg", "grass.png", "coins.png", "moon.png"),
}

# Too plain or too black at the rim to be a scene: these serve as textures only.
TEXTURE_ONLY = frozenset({"page.png", "text.png", "cell.png"})
# Part of the picture to use, as fractions (top, bottom, left, right).
CROPS = {"retina.jpg": (0.2, 0.8, 0.2, 0.8), "rocket.jpg": (0.0, 1.0, 0.15, 0.85)}


@lru_cache(maxsize=32)
def photograph(name: str) -> NDArray[np.floating]:
    """One photograph as float32 (H, W, 3) in [0, 1]; grey ones have three equal channels.

    Raises InputError when the installed scikit-image does not hold the file.
    """
    path = Path(skimage.__file__).parent / "data" / name
    if not path.is_file():
        raise InputError(
            f"expected the photograph {name} inside scikit-image, found none at {path}: "
            "install scikit-image from its wheel"
        )
    with Image.open(path) as file:
        pixels = np.asarray(file.convert("RGB"), dtype=np.float32) / 255
    top, bottom, left, right = CROPS.get(name, (0.0, 1.0, 0.0, 1.0))
    height, width = pixels.shape[:2]
    part = pixels[int(top * height) : int(bottom * height), int(left * width) : int(right * width)]
    part = np.ascontiguousarray(part)
    part.flags.writeable = False
    return part


@lru_cache(maxsize=32)
def brightness(name: str) -> NDArray[np.floating]:
    """The mean of a photograph's channels (H, W)."""
    grey = photograph(name).mean(axis=2)
    grey.flags.writeable = False
    return grey


def names(group: str, scenes_only: bool = False) -> tuple[str, ...]:
    """The photographs of a group ("train", "val" or "test"), optionally only those fit for a background."""
    if group not in GROUPS:
        raise InputError(f"expected a group among {', '.join(GROUPS)}, found {group!r}")
    return tuple(name for name in GROUPS[group] if not (scenes_only and name in TEXTURE_ONLY))


def scene(rng: np.random.Generator, group: str, pixels: int) -> NDArray[np.floating]:
    """A random photograph of the group, shrunk so that a window of it is about ``pixels`` wide.

    Returns float32 (H, W, 3) in [0, 1] with a shorter side of 1.3 to 2.2 times ``pixels``: a background
    of ``pixels`` × ``pixels`` can pan and zoom over it.
    """
    candidates = names(group, scenes_only=True)
    full = photograph(candidates[rng.integers(len(candidates))])
    short = round(pixels * rng.uniform(1.3, 2.2))
    height, width = full.shape[:2]
    factor = short / min(height, width)
    return resize(full, max(short, round(height * factor)), max(short, round(width * factor)))


def crop(rng: np.random.Generator, name: str, height: int, width: int) -> NDArray[np.floating]:
    """The liveliest of eight random crops of a photograph, resized to float32 (height, width, 3)."""
    grey, best, liveliest = brightness(name), (slice(0), slice(0)), -1.0
    for _ in range(8):
        side = int(rng.uniform(0.15, 0.35) * min(grey.shape))
        top = rng.integers(grey.shape[0] - side)
        left = rng.integers(grey.shape[1] - side)
        part = slice(top, top + side), slice(left, left + side)
        if (life := float(grey[part].std())) > liveliest:
            best, liveliest = part, life
    return resize(photograph(name)[best], height, width)


def resize(image: NDArray[np.floating], height: int, width: int) -> NDArray[np.floating]:
    """An image (H, W, 3) in [0, 1] resampled to (height, width, 3) with antialiasing."""
    file = Image.fromarray((image * 255).round().astype(np.uint8))
    return np.asarray(file.resize((width, height), Image.Resampling.BILINEAR), dtype=np.float32) / 255
