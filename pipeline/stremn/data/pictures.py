"""Pictures on disk: the one place where Pillow opens a file. H W pixels.

Frames are read as RGB of 8 bits, upright (all eight EXIF orientations), what is transparent over black. Grey pictures
of more than 8 bits or of floating point are scaled: the lowest and the highest finite value of all pictures of their
folder become 0 and 255. Colours of 16 bits keep their upper 8.
"""

import io
import re
import struct
import zlib
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from stremn.errors import InputError, warn
from stremn.listing import by_stem, files_in, some

Pixels = NDArray[np.uint8]
T = TypeVar("T")

SUFFIXES = frozenset(
    {
        ".apng",
        ".avif",
        ".bmp",
        ".dib",
        ".gif",
        ".j2c",
        ".j2k",
        ".jfif",
        ".jp2",
        ".jpc",
        ".jpe",
        ".jpeg",
        ".jpf",
    }
    | {".jpg", ".jpx", ".pbm", ".pcx", ".pfm", ".pgm", ".png", ".pnm", ".ppm", ".qoi", ".ras", ".sgi", ".tga"}
    | {".tif", ".tiff", ".webp"}
)
"""Of pictures, in lower case."""
DEEP = ("I", "F")  # beginnings of Pillow's modes of more than 8 bits: I, I;16, I;16B, F
DAMAGE = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError, AttributeError,
    MemoryError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip
"""What Pillow raises for a file that is no picture, damaged, or too large."""
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # by EXIF orientation
SIDEWAYS = (5, 6, 7, 8)
TEXT = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")  # chunks of PNG that no pixel needs


def picture_files(folder: Path, without: Collection[str] = ()) -> list[Path]:
    """The pictures of a folder in natural order; a warning names files that are left out as they are none.

    Args:
        without: names of files that are not meant.

    Raises:
        InputError: two pictures of one name (``1.jpg`` and ``1.png``).
    """
    files = [path for path in files_in(folder) if path.name not in without]
    pictures = [path for path in files if path.suffix.lower() in SUFFIXES]
    others = [path.name for path in files if path.suffix.lower() not in SUFFIXES]
    if others and pictures:
        warn(f"left out of {folder}, as they are no pictures that can be read here: {some(others)}")
    by_stem(pictures)
    return pictures


def size_text(shape: tuple[int, ...]) -> str:
    """Width and height of a shape (H, W, …) as people write them: ``854x480``."""
    return f"{shape[1]}x{shape[0]}"


def decoded(path: Path | str, work: Callable[[Image.Image], T]) -> T:
    """What ``work``, which calls Pillow, makes of a picture's file.

    Raises:
        InputError: no such file, a damaged one, one that holds several pictures, or one that is too large.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"expected an image at {path}, found no such file: check the path")
    try:
        try:
            with path.open(
                "rb"
            ) as content:  # not by its name: Pillow maps such TIFF files, and turns them wrongly
                return _worked(path, content, work)
        except ValueError as problem:
            if "text" not in str(problem).lower():
                raise
            return _worked(path, io.BytesIO(_without_text(path.read_bytes())), work)
    except InputError:
        raise
    except Image.DecompressionBombError as problem:
        found, most = re.findall(r"\d+", str(problem))[:2]
        raise InputError(
            f"expected an image of at most {most} pixels, found one of {found} at {path}: scale it down"
        ) from None
    except DAMAGE as problem:
        why = " ".join(str(problem).split()) or type(problem).__name__
        if isinstance(problem, UnidentifiedImageError):
            why = "of no kind that is known" if path.stat().st_size else "empty"
        raise InputError(
            f"expected a readable image, found a damaged one at {path} ({why}): replace it"
        ) from None


def _worked(path: Path, source: IO[bytes], work: Callable[[Image.Image], T]) -> T:
    with Image.open(source) as file:
        # a camera's JPEG may hold a second view (MPO); every other file has one picture or is a film
        if file.format != "MPO" and getattr(file, "is_animated", False):
            number = getattr(file, "n_frames", 2)
            raise InputError(
                f"expected one picture in a file, found {number} in {path}: save each as a file of its own, or "
                "name a GIF itself as the video"
            )
        return work(file)


def _without_text(content: bytes) -> bytes:
    """A PNG file without its texts, which Pillow refuses from a megabyte on."""
    kept, at = [content[:8]], 8
    while at + 12 <= len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        if content[at + 4 : at + 8] not in TEXT:
            kept.append(content[at:end])
        at = end
    return b"".join(kept)


def orientation(file: Image.Image) -> int:
    """EXIF orientation of an opened picture, 1 to 8; 1 where it has none, or one that cannot be read."""
    try:
        # of the base class: PNG's own decodes the pixels to look for EXIF behind them
        found = Image.Image.getexif(file).get(0x0112, 1)
    except DAMAGE:
        return 1
    return found if found in TURNS else 1


def upright(file: Image.Image) -> Image.Image:
    """An opened picture with its pixels, turned as its EXIF orientation says."""
    file.load()  # Pillow turns TIFF by itself here, and forgets the orientation
    turn = orientation(file)
    return file.transpose(TURNS[turn]) if turn in TURNS else file


def picture_size(path: Path) -> tuple[int, int]:
    """(H, W) of a picture when it is upright, from its head alone; raises as ``decoded`` does."""

    def size(file: Image.Image) -> tuple[int, int]:
        turned = file.format != "TIFF" and orientation(file) in SIDEWAYS
        return file.size if turned else file.size[::-1]

    return decoded(path, size)


def one_size(files: Sequence[Path]) -> tuple[int, int]:
    """The (H, W) that all pictures have, from their heads.

    Raises:
        InputError: a head that cannot be read, or two sizes, with the names of the files.
    """
    found: dict[tuple[int, int], list[str]] = {}
    for path in files:
        found.setdefault(picture_size(path), []).append(path.name)
    if len(found) > 1:
        groups = sorted(found.items(), key=lambda group: -len(group[1]))
        texts = [f"{size_text(size)} ({some(names, 3)})" for size, names in groups[:3]]
        raise InputError(
            f"expected pictures of one size in {files[0].parent}, found {' and '.join(texts)}: resize them or move "
            "them away"
        )
    return next(iter(found))


def read_image(path: Path | str, among: Sequence[Path] = ()) -> Pixels:
    """A picture as uint8 (H, W, 3) RGB, upright; see above for what is transparent or has more than 8 bits.

    Args:
        path: its file.
        among: all pictures of its clip or folder, whose values decide how deep grey is scaled; none: its own.

    Raises:
        InputError: see ``decoded``.
    """
    picture = decoded(path, _as_rgb)
    if picture.ndim == 3:
        return picture.astype(np.uint8, copy=False)
    low, high = value_range(tuple(among) or (Path(path),))
    return _scaled(picture, low, high)


def _as_rgb(file: Image.Image) -> NDArray[np.generic]:
    """uint8 (H, W, 3), or the values (H, W) of a deep grey picture."""
    file = upright(file)
    if file.mode.startswith(DEEP):
        return np.asarray(file)
    if file.has_transparency_data:
        seen = file.convert("RGBA")
        file = Image.alpha_composite(Image.new("RGBA", seen.size, (0, 0, 0, 255)), seen)
    return np.array(file.convert("RGB"))


@lru_cache(maxsize=64)
def value_range(files: tuple[Path, ...]) -> tuple[float, float]:
    """Lowest and highest finite value of all deep grey pictures among some files; told once, as a warning."""
    lows, highs = [], []
    for path in files:
        values = decoded(path, lambda file: np.asarray(file) if file.mode.startswith(DEEP) else None)
        finite = np.array([]) if values is None else values[np.isfinite(values)]
        if finite.size:
            lows.append(float(finite.min()))
            highs.append(float(finite.max()))
    low, high = min(lows, default=0.0), max(highs, default=0.0)
    where = files[0].parent if len(files) > 1 else files[0]
    warn(f"{where}: more than 8 bits of grey: the values {low:g} to {high:g} become 0 to 255")
    return low, high


def _scaled(values: NDArray[np.generic], low: float, high: float) -> Pixels:
    """Values (H, W) between two bounds as grey, uint8 (H, W, 3); what is no number is black."""
    share = (np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low) - low) / (
        (high - low) or 1
    )
    grey = (share.clip(0, 1) * 255).round().astype(np.uint8)
    return np.repeat(grey[..., None], 3, -1)
