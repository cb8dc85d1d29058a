"""Clips on disk in the layout of DAVIS, and masks as palette PNGs.

``<root>/JPEGImages/<sequence>/<frame>.jpg`` (or .png) and ``<root>/Annotations/<sequence>/<frame>.png``,
matched by stem. T frames, H W pixels. Sets in their official layouts: ``data.official``.

Void (255) marks pixels that nobody labelled; a frame without annotation is void throughout.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stremn.errors import InputError
from stremn.files import replacing

IMAGES, MASKS = "JPEGImages", "Annotations"
FRAME_SUFFIXES = (".jpg", ".jpeg", ".png")
VOID = 255
Pixels = NDArray[np.uint8]
Pair = tuple[Path, Path | None]  # files of a frame's image and, where it is annotated, of its mask


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


class ClipFolder:
    """A folder of annotated clips.

    Args:
        root: holds ``JPEGImages`` and ``Annotations``.
        cache: keep decoded clips in memory (for small sets).
        limit: only that many clips, the first by name; None: all.

    Raises InputError when a folder is missing or empty, when frames and masks do not match, and, on
    reading, when a file cannot be decoded or sizes differ within a clip.
    """

    def __init__(self, root: Path | str, cache: bool = True, limit: int | None = None) -> None:
        self.root = Path(root)
        for name in (IMAGES, MASKS):
            if not (self.root / name).is_dir():
                raise InputError(
                    f"expected a folder {self.root / name}, found none: give the root that holds it"
                )
        self.names = sorted(p.name for p in (self.root / IMAGES).iterdir() if p.is_dir())[:limit]
        if not self.names:
            raise InputError(
                f"expected sequences in {self.root / IMAGES}, found none: make or unpack the data first"
            )
        self._hold([_match(self.root, name) for name in self.names], cache)

    def _hold(self, files: Sequence[Sequence[Pair]], cache: bool) -> None:
        self._files = files
        self._cache: dict[int, Clip] | None = {} if cache else None

    @property
    def annotations(self) -> Path:
        """The folder that holds a folder of masks for each sequence."""
        return self.root / MASKS

    def __len__(self) -> int:
        return len(self.names)

    def length(self, index: int) -> int:
        """Frames of a clip, without reading it."""
        return len(self._files[index])

    def frame_names(self, index: int) -> list[str]:
        """File stem of every frame of a clip."""
        return [image.stem for image, _ in self._files[index]]

    def annotated(self, index: int) -> list[int]:
        """Numbers of the frames that have a mask, without reading any."""
        return [number for number, (_, mask) in enumerate(self._files[index]) if mask is not None]

    def __getitem__(self, index: int) -> Clip:
        """The whole clip."""
        if self._cache is None:
            return self._read(index, range(self.length(index)))
        if index not in self._cache:
            self._cache[index] = self._read(index, range(self.length(index)))
        return self._cache[index]

    def take(self, index: int, frames: Sequence[int]) -> Clip:
        """Some frames of a clip, in the order given; only these are decoded when nothing is cached."""
        if self._cache is None:
            return self._read(index, frames)
        clip = self[index]
        chosen = list(frames)
        return Clip(clip.name, clip.frames[chosen], clip.masks[chosen], clip.objects)

    def _read(self, index: int, frames: Sequence[int]) -> Clip:
        pairs = [self._files[index][frame] for frame in frames]
        images = [read_image(image) for image, _ in pairs]
        unknown = np.full(images[0].shape[:2], VOID, np.uint8)
        masks = [unknown if mask is None else self._mask(index, mask) for _, mask in pairs]
        for (path, _), image, mask in zip(pairs, images, masks, strict=True):
            if image.shape != images[0].shape or mask.shape != image.shape[:2]:
                raise InputError(
                    f"expected one size within clip {self.names[index]}, {_by(images[0])}, "
                    f"found image {_by(image)} and mask {_by(mask)} at {path}: resize the files"
                )
        stack = np.stack(masks)
        return Clip(self.names[index], np.stack(images), stack, self._objects(index, stack))

    def _mask(self, index: int, path: Path) -> Pixels:
        """The mask of a frame of a clip."""
        return read_mask(path)

    def _objects(self, index: int, masks: Pixels) -> int:
        """The largest id of a clip, by the masks read of it."""
        return int(masks.max(initial=0, where=masks != VOID))


def frame_files(folder: Path) -> list[Path]:
    """The images of a sequence, sorted. Raises InputError when there are none."""
    images = sorted(p for p in folder.iterdir() if p.suffix.lower() in FRAME_SUFFIXES)
    if not images:
        raise InputError(f"expected frames (jpg or png) in {folder}, found none: remove the folder")
    return images


def _match(root: Path, name: str) -> list[tuple[Path, Path]]:
    """Pairs of (image, mask) of a sequence, by stem."""
    images = frame_files(root / IMAGES / name)
    pairs = [(image, root / MASKS / name / f"{image.stem}.png") for image in images]
    missing = [mask for _, mask in pairs if not mask.is_file()]
    if missing:
        raise InputError(
            f"expected a mask for each of {len(pairs)} frames of {name}, found {len(pairs) - len(missing)}: "
            f"the first missing is {missing[0]}"
        )
    return pairs


def _by(pixels: Pixels) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"


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
