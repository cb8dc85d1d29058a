"""Sets of pairs of an image and a binary mask: saliency (ECSSD, MSRA10K, HKU-IS, DUTS, HRSOD), BIG, FSS-1000.

A mask is a grey picture: above 127 is the object, 1 (some have soft edges). It has its image's stem.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from stremn.data.annotated import ImageFiles, Images
from stremn.data.pictures import SUFFIXES, Pixels, read_image
from stremn.errors import InputError
from stremn.listing import files_in, folders_in


@dataclass(frozen=True)
class Layout:
    """Where pairs lie: folders below the root, and what follows the shared stem of both names."""

    images: str
    masks: str
    image_end: str = ""
    mask_end: str = ""
    split: str = ""


LAYOUTS: dict[str, tuple[Layout, ...]] = {
    "ecssd": (Layout("images", "ground_truth_mask"),),
    "msra10k": (Layout("MSRA10K_Imgs_GT/Imgs", "MSRA10K_Imgs_GT/Imgs"), Layout("Imgs", "Imgs")),
    "hku-is": (Layout("HKU-IS/imgs", "HKU-IS/gt"), Layout("imgs", "gt")),
    "duts": (
        Layout("DUTS-TR/DUTS-TR-Image", "DUTS-TR/DUTS-TR-Mask", split="train"),
        Layout("DUTS-TE/DUTS-TE-Image", "DUTS-TE/DUTS-TE-Mask", split="test"),
    ),
    "hrsod": (
        Layout("HRSOD_release/HRSOD_train", "HRSOD_release/HRSOD_train_mask", split="train"),
        Layout("HRSOD_release/HRSOD_test", "HRSOD_release/HRSOD_test_mask", split="test"),
        Layout("HRSOD_train", "HRSOD_train_mask", split="train"),
        Layout("HRSOD_test", "HRSOD_test_mask", split="test"),
    ),
    "big": (
        Layout("BIG/val", "BIG/val", "_im", "_gt", split="val"),
        Layout("BIG/test", "BIG/test", "_im", "_gt", split="test"),
        Layout("val", "val", "_im", "_gt", split="val"),
        Layout("test", "test", "_im", "_gt", split="test"),
    ),
}
FLAT = Layout(".", ".")  # as STCN repacked them: <stem>.jpg beside <stem>.png


def open_pairs(name: str, root: Path | str, split: str | None = None, *, cache: bool = False) -> Images:
    """One of the sets of ``LAYOUTS``.

    Args:
        root: holds the folders of the set's layout, or all pairs side by side (``.jpg`` and ``.png``).
        split: train, val or test, where the set has them; None: all that is there.

    Raises InputError when no layout fits, or an image or a mask has no partner, naming it.
    """
    root = Path(root)
    known = sorted({layout.split for layout in LAYOUTS[name]} - {""})
    if split is not None and split not in known:
        raise InputError(
            f"expected {'a split of ' + ', '.join(known) if known else 'no split'} for {name}, found {split!r}"
        )
    wanted = [layout for layout in LAYOUTS[name] if split in (None, layout.split)]
    fit = [layout for layout in wanted if (root / layout.images).is_dir()]
    if not fit and split is None and files_in(root, (".png",)):
        fit = [FLAT]
    if not fit:
        raise InputError(
            f"expected the folder {' or '.join(str(root / w.images) for w in wanted)} of {name}, found none: "
            "give the root that holds it"
        )
    return Images(root, [item for layout in fit for item in _pairs(root, layout, cache)])


def open_fss(root: Path | str, split: str | None = None, *, cache: bool = False) -> Images:
    """FSS-1000: ``<root>/<class>/<number>.jpg`` and ``.png`` (or below ``fewshot_data``); it has no split."""
    root = Path(root)
    if split is not None:
        raise InputError(f"expected no split for fss, found {split!r}")
    top = next(
        (p for p in (root / "fewshot_data" / "fewshot_data", root / "fewshot_data", root) if p.is_dir()), None
    )
    if top is None:
        raise InputError(f"expected the folder {root} of FSS-1000, found none: unpack it there")
    classes = folders_in(top)
    return Images(
        root, [item for kind in classes for item in _pairs(top, Layout(kind, kind), cache, f"{kind}/")]
    )


def read_binary(path: Path) -> Pixels:
    """A grey picture (any mode) as uint8 (H, W): 1 where it is above 127.

    Raises InputError for a picture of ids (all values 20 or less), which would read as empty.
    """
    grey = read_image(path).astype(np.uint16).sum(axis=2)
    if 0 < grey.max() <= 3 * 20:
        raise InputError(f"expected a mask of 0 and 255, found values up to {grey.max() // 3} in {path}")
    return (grey > 3 * 127).astype(np.uint8)


def _pairs(root: Path, layout: Layout, keep: bool, prefix: str = "") -> list[ImageFiles]:
    """All pairs of a layout, sorted by name; in a shared folder without endings, masks are the PNGs."""
    images, masks = root / layout.images, root / layout.masks
    if not masks.is_dir():
        raise InputError(f"expected the folder of masks {masks}, found none: unpack it there")
    shared = images == masks and not layout.mask_end
    of_image = _stems(images, layout.image_end, SUFFIXES - {".png"} if shared else SUFFIXES)
    of_mask = _stems(masks, layout.mask_end, (".png",) if shared else SUFFIXES)
    alone = sorted(set(of_image) ^ set(of_mask))
    if alone:
        path, kind = (of_image[alone[0]], "mask") if alone[0] in of_image else (of_mask[alone[0]], "image")
        where = masks if kind == "mask" else images
        raise InputError(
            f"expected a {kind} in {where} for {path}, found none ({len(alone)} files without a partner): "
            "unpack the set again"
        )
    return [
        ImageFiles(prefix + s, of_image[s], partial(read_binary, of_mask[s]), keep=keep)
        for s in sorted(of_image)
    ]


def _stems(folder: Path, end: str, suffixes: Collection[str]) -> dict[str, Path]:
    return {p.stem.removesuffix(end): p for p in files_in(folder, suffixes) if p.stem.endswith(end)}
