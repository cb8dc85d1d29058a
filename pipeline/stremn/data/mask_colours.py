"""What a picture means as a mask of object ids: by palette index, by DAVIS's colours, or as black and white. H W pixels.

1. A palette picture whose index 0 is black, as in DAVIS and YouTube-VOS, is read by index: index = id.
2. A picture in exactly DAVIS's colours is read by them, whatever its palette's order.
3. Grey of small values (0 to 20, or few that follow each other) and, with them, 255 (void), and integers of more
   bits, are ids.
4. Everything else is one object, 1, on black: 0 and any other value or colour, smoothed or not; or what is opaque on a
   transparent ground. Where that is not the only way to see it, one line says how it was read.

A palette that has no black at all is read by index, with such a line. What fits none of these is refused.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from stremn.data.pictures import DEEP, Pixels, upright

VOID = 255
SMALL_IDS, MANY_IDS = (
    20,
    100,
)  # grey values up to here are ids, not shades; up to there where most follow each other
BLACK, DARK, CONTRAST = (
    8,
    32,
    64,
)  # values up to which an index, a background is black; distance of an object from it
LOSSY = ("JPEG", "MPO", "WEBP", "AVIF", "JPEG2000")  # formats that change values a little
ADVICE = (
    "save it as PNG, white on black for one object or, for several, in DAVIS's colours or as grey 0, 1, 2, …"
)


class NoMask(ValueError):
    """A picture that is no mask: what was found, and what to do."""

    def __init__(self, found: str, advice: str = ADVICE) -> None:
        super().__init__(found)
        self.found, self.advice = found, advice


@dataclass(frozen=True)
class Reading:
    """A mask as it was read.

    Attributes:
        ids: uint8 (H, W).
        how: in a few words, where it could be seen in another way; else empty.
    """

    ids: Pixels
    how: str = ""


@dataclass(frozen=True)
class Stored:
    """What a mask's file stores, upright.

    Attributes:
        values: (H, W) of indices, grey or numbers, or uint8 (H, W, 3) of colours.
        palette: uint8 (n, 3) of a palette picture, else None.
        alpha: uint8 (H, W), None where all is opaque.
        lossy: the format changes values a little.
    """

    values: NDArray[np.generic]
    palette: Pixels | None = None
    alpha: Pixels | None = None
    lossy: bool = False


@lru_cache(maxsize=1)
def palette() -> Pixels:
    """The colour map (256, 3) of PASCAL VOC and DAVIS: an id's bits dealt to red, green, blue in turn."""
    ids = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (((ids >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    colours.flags.writeable = False
    return colours


def stored(file: Image.Image) -> Stored:
    """The pixels of an opened mask."""
    lossy = file.format in LOSSY
    file = upright(file)
    if file.mode == "P" and file.palette is not None:
        colours = np.array(file.getpalette("RGB"), np.uint8).reshape(-1, 3)
        ids = np.asarray(file)
        if len(colours) and colours[0].any() and file.has_transparency_data:
            return _parted(np.asarray(file.convert("RGBA")), lossy)
        return Stored(ids, colours)
    if file.mode in ("1", "L") and not file.has_transparency_data:
        return Stored(np.asarray(file).astype(np.uint8) * (255 if file.mode == "1" else 1), lossy=lossy)
    if file.mode.startswith(DEEP):
        return Stored(np.asarray(file))
    if file.mode in ("L", "LA", "La"):
        return _parted(np.asarray(file.convert("LA")), lossy)
    return _parted(np.asarray(file.convert("RGBA")), lossy)


def _parted(pixels: Pixels, lossy: bool) -> Stored:
    """Colours and alpha of (H, W, 4), or grey and alpha of (H, W, 2); colours that are all grey become grey."""
    values, alpha = pixels[..., :-1], pixels[..., -1]
    if (values == values[..., :1]).all():
        values = values[..., 0]
    return Stored(values, None, None if alpha.min(initial=255) == 255 else alpha, lossy)


def understood(mask: Stored) -> Reading:
    """The ids of a mask, see above. Raises NoMask."""
    if mask.palette is not None:
        return _by_palette(mask.values.astype(np.uint8), mask.palette)
    values = mask.values
    if values.dtype != np.uint8:
        return _of_numbers(values)
    plain = values.ndim == 2 and set(np.unique(values).tolist()) == {
        0,
        VOID,
    }  # some of DAVIS-2016: alpha says nothing
    if mask.alpha is not None and not plain:
        alpha = mask.alpha if values.ndim == 2 else mask.alpha[..., None]
        seen = (values.astype(np.uint16) * alpha // 255).astype(np.uint8)
        if not seen.any() and mask.alpha.any():
            return Reading(
                (mask.alpha > 127).view(np.uint8),
                "black on a transparent ground: what is opaque is object 1",
            )
        values = seen[..., 0] if seen.ndim == 3 and (seen == seen[..., :1]).all() else seen
    pixels = values.astype(np.uint8)
    return _of_grey(pixels, mask.lossy) if pixels.ndim == 2 else _of_colours(pixels, mask.lossy)


def _by_palette(ids: Pixels, colours: Pixels) -> Reading:
    top = int(ids.max())
    if np.array_equal(colours[: top + 1], palette()[: top + 1]):
        return Reading(ids)
    used = np.flatnonzero(Image.fromarray(ids).histogram())
    if used[-1] >= len(colours) or np.array_equal(colours[used], palette()[used]):
        return Reading(ids)
    shown = colours[used].astype(int)
    grey = bool((shown == shown[:, :1]).all())
    if grey and used.tolist() == [0, VOID] and shown[1, 0] == VOID:
        return _of_grey(ids, lossy=False)
    numbers = None if grey else _davis_ids(colours[used])
    if numbers is not None:
        by_colour = np.zeros(256, np.uint8)
        by_colour[used] = numbers
        return Reading(by_colour[ids], "DAVIS's colours in another order than DAVIS's: the colour is the id")
    if colours[0].max() <= BLACK and not _shades_of_one(ids, colours, shown):
        return Reading(ids, _edges_only(ids, used))
    if not (shown.max(axis=1) <= DARK).any():
        if 0 not in used:
            raise NoMask("a palette without black and without index 0")
        return Reading(ids, "no black in the palette: index 0 is background, every other index an object")
    values = colours[ids]
    read = _of_grey(values[..., 0], lossy=False) if grey else _of_colours(values, lossy=False)
    return Reading(read.ids, read.how or "index 0 of the palette is not black: black is background")


def _edges_only(ids: Pixels, used: NDArray[np.integer]) -> str:
    """A word about a palette picture in which several ids have no area: shades at an edge, maybe."""
    if len(used) <= 4:
        return ""
    whole = ndimage.maximum_filter(ids, 3) == ndimage.minimum_filter(ids, 3)
    thin = set(used.tolist()) - set(np.unique(ids[whole]).tolist()) - {0}
    if len(thin) < 3:
        return ""
    return f"{len(thin)} of {len(used) - 1} ids are edges without area; paint without smoothing if these are no objects"


def _shades_of_one(ids: Pixels, colours: Pixels, shown: NDArray[np.integer]) -> bool:
    """Whether a palette's used colours (n, 3) are one object with smoothed edges."""
    if len(shown) < 3 or len(np.unique(shown, axis=0)) < len(shown):
        return False
    bright = shown.max(axis=1)
    one = shown[bright.argmax()] * (bright / max(1, bright.max()))[:, None]
    return bool(np.abs(one - shown).max() <= DARK) and _is_soft(_brightness(colours[ids]), some=True)


def _of_numbers(kept: NDArray[np.generic]) -> Reading:
    """Integers of more than 8 bits, or floating point."""
    values = kept.astype(np.float64)
    if not np.isfinite(values).all():
        raise NoMask("values that are no numbers")
    low, high = float(values.min()), float(values.max())
    whole = bool((values == np.round(values)).all())
    if low < 0:
        raise NoMask(f"values down to {low:g}")
    if not whole and high <= 1:
        return _of_grey((values * 255).round().astype(np.uint8), lossy=False)
    if not whole:
        raise NoMask(f"fractions up to {high:g}")
    levels = np.unique(values)
    if levels[levels != VOID].max(initial=0) < VOID:
        ids = values.astype(np.uint8)
        return Reading((ids > 0).astype(np.uint8) if set(levels.tolist()) <= {0, VOID} else ids)
    try:
        if high >= 2**14:  # shades of 16 bits
            return _of_grey((values.clip(0, 65535) / 257).round().astype(np.uint8), lossy=False)
    except NoMask:
        pass
    raise NoMask(f"the id {high:g}", f"ids go to {VOID - 1} ({VOID} is void): number the objects 1, 2, 3, …")


def _of_grey(values: Pixels, lossy: bool) -> Reading:
    levels = np.unique(values).tolist()
    if set(levels) <= {0, VOID}:
        return Reading((values > 0).astype(np.uint8))
    ids = [level for level in levels if level != VOID]
    small = ids[-1] <= SMALL_IDS
    if small and lossy:
        raise NoMask(f"values up to {ids[-1]} in a format that changes them a little")
    follow = not lossy and ids[-1] <= MANY_IDS and len(ids) > ids[-1] / 2
    if small or (follow and _flat(values, (values > 0) & (values != VOID)) > 0.7):
        return Reading(values)
    return _two_tone(values, levels)


def _of_colours(values: Pixels, lossy: bool) -> Reading:
    """Colours uint8 (H, W, 3), not all grey."""
    ids = None if lossy else _davis_ids(values)
    if ids is not None:
        return Reading(ids)
    bright = _brightness(values)
    levels = np.unique(bright).tolist()
    read = _two_tone(bright, levels)
    core = values[bright > int(bright.max()) - CONTRAST // 2].astype(int)
    spread = np.percentile(core, 99, axis=0) - np.percentile(core, 1, axis=0)
    if spread.max() > CONTRAST:
        raise NoMask("several colours, not exactly DAVIS's")
    return Reading(read.ids, read.how if len(levels) > 2 else "black is background, the colour is object 1")


def _two_tone(values: Pixels, levels: list[int]) -> Reading:
    """One object, brighter than its ground; its edges may be smoothed or changed by JPEG."""
    low, high, two = levels[0], levels[-1], len(levels) == 2
    if low > DARK or (high - low < CONTRAST and not (two and low == 0)):
        raise NoMask(f"values from {low} to {high}, not an object on black")
    middle = (low + high) // 2
    if two:
        return Reading((values > middle).astype(np.uint8), f"{low} is background, {high} is object 1")
    if not _is_soft(values):
        raise NoMask(f"{len(levels)} shades from {low} to {high}")
    return Reading((values > middle).astype(np.uint8), f"soft edges: values above {middle} are object 1")


def _davis_ids(colours: Pixels) -> Pixels | None:
    """Ids (…) of colours (…, 3) that all are DAVIS's, black among them; else None."""
    known = _packed(palette())
    order = np.argsort(known)
    packed = _packed(np.where(colours == 191, 192, colours))  # DAVIS's own files have 191 where VOC has 192
    found = order[np.searchsorted(known, packed, sorter=order).clip(0, 255)]
    return found.astype(np.uint8) if (known[found] == packed).all() and (found == 0).any() else None


def _packed(colours: Pixels) -> NDArray[np.int32]:
    return colours.astype(np.int32) @ np.array([65536, 256, 1], np.int32)


def _brightness(colours: Pixels) -> Pixels:
    return colours.max(axis=-1)


def _flat(values: Pixels, among: NDArray[np.bool_], within: int = 0) -> float:
    """Share of some pixels whose neighbours have the same value, or one at most ``within`` away."""
    same = ndimage.maximum_filter(values, 3).astype(int) - ndimage.minimum_filter(values, 3) <= within
    return float(same[among].mean())


def _is_soft(values: Pixels, some: bool = False) -> bool:
    """Whether the shades between the darkest and the brightest are edges: few, and no areas of one shade.

    some: there must be such shades.
    """
    low, high = int(values.min()), int(values.max())
    margin = 0.15 * (high - low)
    between = (values > low + margin) & (values < high - margin)
    number = int(between.sum())
    if not number:
        return not some
    if number > 0.3 * values.size:
        return False
    counts = np.bincount(values[between], minlength=256)
    peak = np.convolve(counts, np.ones(16, int)).max() / number
    return bool(peak < 0.4 or _flat(values, between, 8) < 0.05)
