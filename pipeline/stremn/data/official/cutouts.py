"""A folder of pictures cut out along their outlines (RGBA): the alpha channel is the mask."""

import zlib
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stremn.data import photographs
from stremn.data.annotated import ImageFiles, Images
from stremn.data.pictures import Pixels, decoded, upright
from stremn.errors import InputError
from stremn.listing import files_in

GREY = 127


def open_cutouts(
    root: Path | str,
    split: str | None = None,
    *,
    background: str = "photographs",
    margin: float = 0.25,
    cache: bool = False,
) -> Images:
    """All PNGs of a folder, laid over a background; the object is where alpha is above 127.

    Args:
        split: train, val or test: the group of photographs behind; None: train. All pictures are in it.
        background: "photographs" (those of the generated clips, chosen by the file's name) or "grey".
        margin: background around the picture, in shares of its longer side.

    Raises InputError, on reading, for a file that is damaged, has no alpha channel, or is transparent or
    opaque all over.
    """
    root, group = Path(root), split or "train"
    if background not in ("photographs", "grey"):
        raise InputError(f"expected a background of photographs or grey, found {background!r}")
    photographs.names(group)
    paths = files_in(root, (".png",))
    if not paths:
        raise InputError(
            f"expected cut-out pictures (*.png with alpha) in {root}, found none: check the folder"
        )
    read = partial(_picture, margin=margin, group=group if background == "photographs" else None)
    return Images(
        root, [ImageFiles(path.stem, path, partial(_mask, path, margin), read, cache) for path in paths]
    )


def _picture(path: Path, margin: float, group: str | None) -> Pixels:
    """The cut-out over its background, uint8 (H, W, 3)."""
    rgba = _rgba(path)
    rgba = np.pad(rgba, _margin(rgba.shape, margin))
    alpha = rgba[..., 3:].astype(np.float32) / 255
    behind = _behind(path.name, rgba.shape[0], rgba.shape[1], group)
    return (rgba[..., :3] * alpha + behind * (1 - alpha)).round().astype(np.uint8)


def _behind(name: str, height: int, width: int, group: str | None) -> NDArray[np.floating]:
    """A background (H, W, 3) in 0..255, the same for the same name."""
    if group is None:
        return np.full((height, width, 3), GREY, np.float32)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    scene = photographs.scene(rng, group, max(height, width))
    top, left = (
        int(rng.integers(full - part + 1)) for full, part in zip(scene.shape, (height, width), strict=False)
    )
    return scene[top : top + height, left : left + width] * np.float32(255)


def _mask(path: Path, margin: float) -> Pixels:
    alpha = _rgba(path)[..., 3] > 127
    if not alpha.any() or alpha.all():
        kind = "opaque" if alpha.any() else "transparent"
        raise InputError(f"expected a cut-out with some transparency, found {path} all {kind}: remove it")
    return np.pad(alpha, _margin(alpha.shape, margin)[:2]).astype(np.uint8)


def _margin(shape: tuple[int, ...], margin: float) -> list[tuple[int, int]]:
    extra = round(margin * max(shape[:2]))
    return [(extra, extra), (extra, extra), (0, 0)]


def _rgba(path: Path) -> Pixels:
    """A picture as uint8 (H, W, 4), upright."""

    def read(file: Image.Image) -> Pixels | str:
        return np.array(upright(file).convert("RGBA")) if file.has_transparency_data else file.mode

    found = decoded(path, read)
    if isinstance(found, str):
        raise InputError(f"expected a picture with an alpha channel, found mode {found} in {path}")
    return found
