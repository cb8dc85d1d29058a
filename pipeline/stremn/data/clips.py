"""A clip in memory; images and masks (palette PNGs) on disk. T frames, H W pixels.

Void (255) marks pixels that nobody labelled; a frame without annotation is void throughout.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stremn.errors import InputError
from stremn.files import replacing

IMAGES, MASKS = "JPEGImages", "Annotations"
VOID = 255
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Clip:
    """frames uint8 (T, H, W, 3) RGB; masks uint8 (T, H, W) of ids 0..objects and VOID; objects: the largest id.

    A frame that was not annotated has a mask of VOID alone: nothing is asked, taught or scored there.
    """

    name: str
    frames: Pixels
    masks: Pixels
    objects: int

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def annotated(self) -> NDArray[np.bool_]:
        """Boolean (T,): which frames have a mask."""
        return (self.masks != VOID).any(axis=(1, 2))


def size_text(shape: tuple[int, ...]) -> str:
    """Width and height of a shape (H, W, …) as people write them: ``854x480``."""
    return f"{shape[1]}x{shape[0]}"


def read_image(path: Path | str) -> Pixels:
    """An image as uint8 (H, W, 3) RGB. Raises InputError when it is missing or cannot be decoded."""
    with _opened(Path(path)) as file:
        return np.array(file.convert("RGB"))


def read_mask(path: Path | str) -> Pixels:
    """A mask as uint8 (H, W) of object ids.

    Accepts a palette PNG (id = palette index), a grey or one-bit image of 0 and 255 (one object, id 1), and
    a grey image of small ids (at most 20) and, with them, VOID. The alpha channel of a grey image (mode
    ``LA``, as some of DAVIS-2016) says nothing. Raises InputError for anything else.
    """
    mode, pixels = _stored(Path(path))
    if mode == "P":
        return pixels
    values = np.unique(pixels)
    if set(values.tolist()) <= {0, 255} or mode == "1":
        return (pixels > 0).astype(np.uint8)
    if values[values != VOID].max() <= 20:
        return pixels
    raise _no_mask(path, f"a grey image with {len(values)} values up to {values.max()}")


def read_stored_ids(path: Path | str) -> Pixels:
    """The values of a mask as its file stores them, uint8 (H, W): palette indices, or grey values 0 to 255.

    What a scorer compares: unlike :func:`read_mask` it takes any grey value. Alpha is left out; of one bit: 0 and 1.

    Raises:
        InputError: no such file, a damaged one, or neither palette nor grey.
    """
    return _stored(Path(path))[1]


def _stored(path: Path) -> tuple[str, Pixels]:
    """Pillow's mode (P, L or 1) and the values of a mask."""
    with _opened(path) as file:
        mode, pixels = file.mode, np.asarray(file)
    if mode not in ("P", "L", "LA", "1"):
        raise _no_mask(path, f"mode {mode}")
    if mode == "LA":
        mode, pixels = "L", pixels[..., 0]
    return mode, pixels.astype(np.uint8)


def _no_mask(path: Path | str, found: str) -> InputError:
    return InputError(
        f"expected a mask of object ids (palette PNG, or grey with 0 and 255), found {found} in {path}: "
        "save it as an indexed PNG"
    )


def without_void(ids: Pixels) -> Pixels:
    """Ids (H, W) with 255 beside other ids, which is void, as background; 255 alone is an object and stays."""
    known = set(np.unique(ids).tolist()) - {0}
    return np.where(ids == VOID, 0, ids).astype(ids.dtype) if len(known) > 1 else ids


def write_mask(path: Path | str, mask: NDArray[np.integer]) -> None:
    """Write ids (H, W), 0..255, as a palette PNG with the colours of DAVIS, atomically."""
    if mask.ndim != 2 or mask.min() < 0 or mask.max() > 255:
        raise InputError(f"expected a mask (H, W) of ids 0 to 255, found shape {mask.shape}: check the ids")
    image = Image.fromarray(mask.astype(np.uint8), mode="P")
    image.putpalette(palette().tobytes())
    with replacing(Path(path)) as scratch:
        image.save(scratch, format="PNG")


def palette() -> Pixels:
    """The colour map (256, 3) of PASCAL VOC and DAVIS: an id's bits dealt to red, green, blue in turn."""
    ids = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (((ids >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return colours


def write_clip(root: Path | str, clip: Clip, quality: int = 95) -> None:
    """Write a clip as ``00000.jpg``, … and ``00000.png``, … under a root."""
    images, masks = Path(root) / IMAGES / clip.name, Path(root) / MASKS / clip.name
    images.mkdir(parents=True, exist_ok=True)
    masks.mkdir(parents=True, exist_ok=True)
    for number, (frame, mask) in enumerate(zip(clip.frames, clip.masks, strict=True)):
        with replacing(images / f"{number:05d}.jpg") as scratch:
            Image.fromarray(frame).save(scratch, format="JPEG", quality=quality)
        write_mask(masks / f"{number:05d}.png", mask)


def _opened(path: Path) -> Image.Image:
    if not path.is_file():
        raise InputError(f"expected an image at {path}, found no such file: check the path")
    try:
        file = Image.open(path)
        file.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as problem:
        raise InputError(
            f"expected a readable image, found a damaged one at {path} ({problem}): replace it"
        ) from None
    return file
