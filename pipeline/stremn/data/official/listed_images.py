"""Images with masks given by lists: what every static set becomes. H W pixels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stremn.data.clips import Pixels, read_image
from stremn.data.images import StaticFolder
from stremn.errors import InputError


@dataclass(frozen=True)
class Item:
    """An image: its name, its file, and a function that gives its mask, uint8 (H, W) of ids from 1."""

    name: str
    image: Path
    mask: Callable[[], Pixels]


class ListedImages(StaticFolder):
    """A ``StaticFolder`` whose images and masks were found by somebody else.

    Args:
        root: of the dataset, for messages.
        items: at least one.
        cache: keep decoded images in memory.
        read: from an image's file to uint8 (H, W, 3).

    Attribute ``left_out``: images of the set that are not offered, for a reason that their opener states.
    """

    def __init__(
        self,
        root: Path,
        items: Sequence[Item],
        cache: bool = False,
        read: Callable[[Path], Pixels] = read_image,
    ) -> None:
        if not items:
            raise InputError(f"expected images with masks in {root}, found none: unpack the data first")
        self.root, self.items, self._read = root, items, read
        self.names = [item.name for item in items]
        self.left_out = 0
        self._cache: dict[int, tuple[np.ndarray, np.ndarray]] | None = {} if cache else None

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 (H, W, 3) and mask uint8 (H, W)."""
        if self._cache is not None and index in self._cache:
            return self._cache[index]
        item = self.items[index]
        image, mask = self._read(item.image), item.mask()
        if image.shape[:2] != mask.shape:
            raise InputError(
                f"expected a mask of {image.shape[1]}x{image.shape[0]} for {item.image}, found "
                f"{mask.shape[1]}x{mask.shape[0]}: get both files again"
            )
        if self._cache is not None:
            self._cache[index] = (image, mask)
        return image, mask
