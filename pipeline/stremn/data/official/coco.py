"""COCO instances (cocodataset.org): ``annotations/instances_<split>.json`` and ``<split>/<file name>``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stremn.data.annotated import ImageFiles, Images
from stremn.data.clips import Pixels
from stremn.data.official.rle import decode
from stremn.errors import InputError, short_reason
from stremn.files import load_json

MOST = 254  # objects in one mask: ids are bytes and 255 is void


@dataclass(frozen=True)
class Instances:
    """The objects of one image: calling it draws them, smaller ones in front of larger ones.

    segmentations: as in the file, largest first; where: the file and the image, for messages.
    """

    height: int
    width: int
    segmentations: Sequence[Any]
    where: str

    def __call__(self) -> Pixels:
        """Mask uint8 (H, W), ids from 1 for the largest on."""
        mask = np.zeros((self.height, self.width), np.uint8)
        for number, segmentation in enumerate(self.segmentations, start=1):
            try:
                mask[decode(segmentation, self.height, self.width) > 0] = number
            except (ValueError, TypeError, KeyError) as problem:
                raise InputError(
                    f"expected polygons or run lengths in {self.where}, found {problem}: get the file again"
                ) from None
        return mask


def open_coco(
    root: Path | str, split: str | None = "train2017", *, least_area: float = 0.001, cache: bool = False
) -> Images:
    """Images of COCO with at least one object.

    Args:
        root: holds ``annotations`` and the folder of images.
        split: train2017, val2017, …
        least_area: share of the image below which an object is left to the background, as crowds are.
            Differs: the papers say nothing of small objects.

    ``left_out`` of the result: how many images have no object left. Reading the file of train2017
    takes some 3 GB of memory for a moment. Raises InputError, naming the path, when the file is damaged or
    names an image that is missing.
    """
    root, split = Path(root), split or "train2017"
    path = root / "annotations" / f"instances_{split}.json"
    images, objects = _read(path)
    items, left_out = [], 0
    there = {p.name for p in (root / split).iterdir()} if (root / split).is_dir() else set()
    for number, (name, height, width) in sorted(images.items(), key=lambda entry: entry[1][0]):
        if name not in there:
            raise InputError(
                f"expected the image {root / split / name}, which {path} names, found none: unpack it"
            )
        least = least_area * height * width
        large = sorted((o for o in objects.get(number, []) if o[0] >= least), key=lambda o: -o[0])[:MOST]
        if not large:
            left_out += 1
            continue
        draw = Instances(height, width, [o[1] for o in large], f"{path}, image {name}")
        items.append(ImageFiles(Path(name).stem, root / split / name, draw, keep=cache))
    return Images(root, items, left_out)


def _read(path: Path) -> tuple[dict[int, tuple[str, int, int]], dict[int, list[tuple[float, Any]]]]:
    """By an image's number: its file's name, H and W; and area and segmentation of its objects."""
    if not path.is_file():
        raise InputError(f"expected the annotations {path} of COCO, found no such file: unpack them there")
    try:
        content = load_json(path)
        images = {i["id"]: (i["file_name"], int(i["height"]), int(i["width"])) for i in content["images"]}
        objects: dict[int, list[tuple[float, Any]]] = {}
        for one in content["annotations"]:
            if not one.get("iscrowd"):
                objects.setdefault(one["image_id"], []).append(
                    (float(one["area"]), _small(one["segmentation"]))
                )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as problem:
        raise InputError(
            f"expected images and annotations in {path}, found something else "
            f"({type(problem).__name__}: {short_reason(problem)}): get the file again"
        ) from None
    unknown = sorted(set(objects) - set(images))
    if unknown:
        raise InputError(
            f"expected annotations of known images in {path}, found image {unknown[0]}: get it again"
        )
    return images, objects


def _small(segmentation: Any) -> Any:
    """Polygons as arrays, which take a tenth of the memory."""
    return (
        segmentation if isinstance(segmentation, dict) else [np.asarray(p, np.float32) for p in segmentation]
    )
