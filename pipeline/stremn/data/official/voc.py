"""PASCAL-VOC (``SegmentationObject``) and SBD (``inst/*.mat``): images with instance masks."""

from functools import partial
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.io import loadmat

from stremn.data.annotated import ImageFiles, Images
from stremn.data.clips import VOID, Pixels, read_mask
from stremn.errors import InputError
from stremn.listing import read_lines

RIM = 5  # pixels: VOC draws void this wide, about, around every object


def open_voc(root: Path | str, split: str | None = "train", *, cache: bool = False) -> Images:
    """PASCAL-VOC 2012: ``JPEGImages``, ``SegmentationObject`` and ``ImageSets/Segmentation/<split>.txt``.

    Args:
        root: holds them, or ``VOCdevkit/VOC2012`` or ``VOC2012`` that does.
        split: train, val or trainval.

    The void rim around an object is dealt to the nearest of what it parts; other void is background (a
    static image has no label to ignore). Raises InputError for anything missing, naming it.
    """
    root = Path(root)
    top = next((p for p in (root / "VOCdevkit/VOC2012", root / "VOC2012") if p.is_dir()), root)
    names = _names(top / "ImageSets" / "Segmentation" / f"{split or 'train'}.txt")
    items = []
    for name in names:
        mask = _there(top / "SegmentationObject" / f"{name}.png")
        items.append(
            ImageFiles(name, _there(top / "JPEGImages" / f"{name}.jpg"), partial(_voc_mask, mask), keep=cache)
        )
    return Images(root, items)


def open_sbd(root: Path | str, split: str | None = "train", *, cache: bool = False) -> Images:
    """SBD: ``img``, ``inst`` and ``<split>.txt`` in ``benchmark_RELEASE/dataset``, ``dataset`` or the root.

    Args:
        split: train or val.

    Raises InputError for anything missing or damaged, naming it.
    """
    root = Path(root)
    top = next((p for p in (root / "benchmark_RELEASE/dataset", root / "dataset") if p.is_dir()), root)
    items = []
    for name in _names(top / f"{split or 'train'}.txt"):
        mask = _there(top / "inst" / f"{name}.mat")
        items.append(
            ImageFiles(name, _there(top / "img" / f"{name}.jpg"), partial(_sbd_mask, mask), keep=cache)
        )
    return Images(root, items)


def fill_rim(mask: Pixels, width: int = RIM) -> Pixels:
    """Void pixels (H, W) become what is nearest, up to ``width`` pixels away, and background beyond."""
    void = mask == VOID
    if void.all() or not void.any():
        return np.where(void, 0, mask).astype(np.uint8)
    distance, (rows, columns) = ndimage.distance_transform_edt(void, return_indices=True)
    return np.where(distance <= width, mask[rows, columns], 0).astype(np.uint8)


def _voc_mask(path: Path) -> Pixels:
    return fill_rim(read_mask(path))


def _sbd_mask(path: Path) -> Pixels:
    try:
        mask = np.asarray(loadmat(path, squeeze_me=True)["GTinst"]["Segmentation"].item())
    except Exception as problem:  # scipy raises many kinds for a damaged file
        raise InputError(
            f"expected GTinst.Segmentation in {path}, found a damaged file "
            f"({type(problem).__name__}: {' '.join(str(problem).split())}): get it again"
        ) from None
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise InputError(
            f"expected a mask uint8 (H, W) in {path}, found {mask.dtype} {mask.shape}: get it again"
        )
    return fill_rim(mask)


def _names(path: Path) -> list[str]:
    if not path.is_file():
        raise InputError(f"expected the list {path}, found no such file: unpack it or choose another split")
    names = [line.split()[0] for line in read_lines(path)]
    if not names:
        raise InputError(f"expected names of images in {path}, found none: unpack it again")
    return names


def _there(path: Path) -> Path:
    if not path.is_file():
        raise InputError(
            f"expected the file {path}, which the split's list names, found none: unpack it again"
        )
    return path
