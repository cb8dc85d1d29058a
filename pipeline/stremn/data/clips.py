"""A clip in memory; images and masks (palette PNGs) on disk. T frames, H W pixels.

Void (255) marks pixels that nobody labelled; a frame without annotation is void throughout.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stremn.data.mask_colours import VOID, NoMask, palette, stored, understood
from stremn.data.pictures import Pixels, decoded
from stremn.errors import InputError, warn
from stremn.files import replacing

IMAGES, MASKS = "JPEGImages", "Annotations"


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


def read_mask(path: Path | str) -> Pixels:
    """A mask as uint8 (H, W) of object ids; ``mask_colours`` says which pictures are masks, and how they are read.

    Where it could be seen in another way, a warning says once for its folder how it was read. Raises InputError
    for a picture that is no mask.
    """
    ids, how = explained_mask(path)
    if how:
        warn(f"masks in {Path(path).parent}: {how}")
    return ids


def explained_mask(path: Path | str) -> tuple[Pixels, str]:
    """A mask, and how it was read where that is not the only way; see ``read_mask``."""
    kept = decoded(path, stored)
    try:
        read = understood(kept)
    except NoMask as problem:
        raise InputError(
            f"expected a mask of object ids, found {problem.found} in {path}: {problem.advice}"
        ) from None
    return read.ids, read.how


def read_stored_ids(path: Path | str) -> Pixels:
    """The values of a mask as its file stores them, uint8 (H, W): palette indices, or grey values 0 to 255.

    What a scorer compares, and what official tools read: unlike :func:`read_mask` it interprets nothing. Alpha and
    orientation are left out; of one bit: 0 and 1.

    Raises:
        InputError: no such file, a damaged one, neither palette nor grey, or an id above 255.
    """
    mode, pixels, black = decoded(path, _kept)
    if not black:
        warn(
            f"masks in {Path(path).parent}: index 0 of a palette is not black; the index is read, not the colour"
        )
    if mode == "LA":
        pixels = pixels[..., 0]
    elif mode.startswith("I") and pixels.min(initial=0) >= 0:
        if pixels.max(initial=0) > VOID:
            raise InputError(f"expected ids of 0 to {VOID}, found {pixels.max()} in {path}: number them anew")
    elif mode not in ("P", "L", "1"):
        raise InputError(
            f"expected a mask of object ids (palette or grey PNG), found mode {mode} in {path}: save the ids, not "
            "their colours"
        )
    return pixels.astype(np.uint8)


def _kept(file: Image.Image) -> tuple[str, NDArray[np.generic], bool]:
    """Mode and values of a mask, and that index 0 of its palette, if it has one, is black."""
    pixels = np.asarray(file)
    black = file.mode != "P" or file.palette is None or not any(file.palette.palette[:3])
    return file.mode, pixels, black


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


def write_clip(root: Path | str, clip: Clip, quality: int = 95) -> None:
    """Write a clip as ``00000.jpg``, … and ``00000.png``, … under a root."""
    images, masks = Path(root) / IMAGES / clip.name, Path(root) / MASKS / clip.name
    images.mkdir(parents=True, exist_ok=True)
    masks.mkdir(parents=True, exist_ok=True)
    for number, (frame, mask) in enumerate(zip(clip.frames, clip.masks, strict=True)):
        with replacing(images / f"{number:05d}.jpg") as scratch:
            Image.fromarray(frame).save(scratch, format="JPEG", quality=quality)
        write_mask(masks / f"{number:05d}.png", mask)
