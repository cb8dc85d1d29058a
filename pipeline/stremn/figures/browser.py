"""Pictures for the browser: frames as JPEG, masks and outlines as transparent PNG, small ones of kept frames.

H W pixels.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stremn.data.clips import Pixels
from stremn.figures import style
from stremn.figures.overlays import draw_overlay
from stremn.figures.style import OBJECT_COLOURS

COLOURS = {
    name: getattr(style, name.upper())
    for name in ("blue", "vermilion", "green", "orange", "sky", "grey", "ink")
}
LARGEST = 960  # pixels of the longer side that are sent
THUMB = 176
FILL, LINE = 105, 235  # opacity of an object and of the true outline, 0…255


def fitting(size: tuple[int, int], largest: int = LARGEST) -> tuple[int, int]:
    """(H, W) scaled down to ``largest`` on the longer side, never up."""
    scale = min(1.0, largest / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def jpeg(frame: Pixels, largest: int = LARGEST, quality: int = 88) -> bytes:
    """A frame (H, W, 3), or grey (H, W), as JPEG, scaled down where it is larger."""
    image = Image.fromarray(frame)
    height, width = fitting(frame.shape[:2], largest)
    if (height, width) != frame.shape[:2]:
        image = image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


def mask_png(ids: Pixels) -> bytes:
    """Objects in colour, their outlines in the same colour and stronger, all else transparent."""
    count = len(OBJECT_COLOURS)
    return _palette_png(_coloured(_nearest(ids)), [FILL] * count + [255] * count, [*OBJECT_COLOURS] * 2)


def outline_png(ids: Pixels) -> bytes:
    """The outline of the true masks, black inside and yellow outside, all else transparent."""
    small = np.where(ids == 255, 0, ids)
    small = _nearest(small.astype(np.uint8))
    edge = _edges(small)
    shown = np.where(edge & (small > 0), 1, np.where(_grown(edge) & (small == 0), 2, 0))
    return _palette_png(shown, [LINE, LINE], [[20, 20, 20], [240, 228, 66]])


def thumb(frame: Pixels, ids: Pixels | None) -> bytes:
    """A kept frame with its mask, small, as JPEG."""
    height, width = fitting(frame.shape[:2], THUMB)
    small = np.asarray(
        Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2)
    )
    if ids is not None:
        resized = Image.fromarray(np.asarray(ids, np.uint8)).resize((width, height), Image.Resampling.NEAREST)
        small = draw_overlay(small, np.asarray(resized), OBJECT_COLOURS)
    return jpeg(small, THUMB, 85)


def _coloured(ids: NDArray[np.uint8]) -> NDArray[np.int_]:
    """0 for background, 1 to 5 inside an object of that colour, 6 to 10 on its outline."""
    count = len(OBJECT_COLOURS)
    inside = 1 + (ids.astype(int) - 1) % count
    return np.where(ids == 0, 0, inside + count * _edges(ids))


def _nearest(ids: Pixels) -> NDArray[np.uint8]:
    height, width = fitting(ids.shape[:2])
    if (height, width) == ids.shape[:2]:
        return np.asarray(ids, np.uint8)
    return np.asarray(
        Image.fromarray(np.asarray(ids, np.uint8)).resize((width, height), Image.Resampling.NEAREST)
    )


def _edges(ids: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels with another id to the right or below, to the left or above."""
    edge = np.zeros(ids.shape, bool)
    down, right = ids[:-1] != ids[1:], ids[:, :-1] != ids[:, 1:]
    edge[:-1] |= down
    edge[1:] |= down
    edge[:, :-1] |= right
    edge[:, 1:] |= right
    return edge


def _grown(edge: NDArray[np.bool_]) -> NDArray[np.bool_]:
    wide = edge.copy()
    wide[:-1] |= edge[1:]
    wide[1:] |= edge[:-1]
    wide[:, :-1] |= edge[:, 1:]
    wide[:, 1:] |= edge[:, :-1]
    return wide


def _palette_png(indices: NDArray[np.integer], alpha: list[int], colours: list) -> bytes:  # type: ignore[type-arg]
    image = Image.fromarray(indices.astype(np.uint8), mode="P")
    image.putpalette(np.array([[0, 0, 0], *colours], np.uint8).tobytes())
    out = io.BytesIO()
    image.save(out, "PNG", transparency=bytes([0, *alpha]), compress_level=1)
    return out.getvalue()
