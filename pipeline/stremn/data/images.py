"""Static images with masks, and short clips made of them by random affine transforms.

Source: STM Sec. 3.5 ("rotation, sheering, zooming, translation, and cropping"), STReMN Sec. 4.1.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stremn.data.augment import compose, mirrored, random_affine, random_colour, view_images, view_masks
from stremn.data.batches import ClipBatch, renumber
from stremn.data.clips import FRAME_SUFFIXES, read_image, read_mask
from stremn.errors import InputError


class StaticFolder:
    """``<root>/images/<name>.png`` (or .jpg) with ``<root>/masks/<name>.png``.

    Raises InputError when a folder or a mask is missing, and on reading when sizes differ.
    """

    def __init__(self, root: Path | str, cache: bool = True) -> None:
        self.root = Path(root)
        folder = self.root / "images"
        if not folder.is_dir():
            raise InputError(f"expected a folder {folder}, found none: give the root that holds images and masks")
        self._images = sorted(p for p in folder.iterdir() if p.suffix.lower() in FRAME_SUFFIXES)
        if not self._images:
            raise InputError(f"expected images in {folder}, found none: make or unpack the data first")
        self.names = [p.stem for p in self._images]
        missing = [name for name in self.names if not (self.root / "masks" / f"{name}.png").is_file()]
        if missing:
            raise InputError(f"expected a mask for every image of {self.root}, {missing[0]} has none: add it")
        self._cache: dict[int, tuple[np.ndarray, np.ndarray]] | None = {} if cache else None

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 (H, W, 3) and mask uint8 (H, W)."""
        if self._cache is not None and index in self._cache:
            return self._cache[index]
        image, mask = read_image(self._images[index]), read_mask(self.root / "masks" / f"{self.names[index]}.png")
        if image.shape[:2] != mask.shape:
            raise InputError(
                f"expected a mask of {image.shape[:2]} for {self.names[index]}, found {mask.shape}: resize it"
            )
        if self._cache is not None:
            self._cache[index] = (image, mask)
        return image, mask


class ImageClipSampler:
    """Clips of T frames from single images, a pure function of (seed, step).

    The image itself moves as a whole, as in STM; up to O − 1 objects cut out of other images are pasted over
    it, each with a movement of its own, so that objects pass each other and the background.
    Differs: STM moves the image with its mask only; pasting gives independent motion and several objects.

    Args:
        folder: images with masks; batch, frames, objects: B, T, O; size: side S in pixels.
    """

    def __init__(self, folder: StaticFolder, batch: int, frames: int, objects: int, size: int, seed: int = 0) -> None:
        self.folder, self.batch_size, self.frames = folder, batch, frames
        self.objects, self.size, self.seed = objects, size, seed
        self._ready: dict[int, tuple[Tensor, Tensor]] = {}

    def batch(self, step: int) -> ClipBatch:
        """The batch of a step: the same for the same seed and step. Every clip has an object in its first frame."""
        rng = np.random.default_rng([self.seed, step])
        clips = [self._clip(rng) for _ in range(self.batch_size)]
        frames, masks, present = (torch.stack(parts) for parts in zip(*clips, strict=True))
        return ClipBatch(frames, masks, present)

    def _clip(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        for _ in range(50):
            frames, masks = self._layer(rng, None)
            for paste in range(int(rng.integers(0, self.objects))):
                cut, shape = self._layer(rng, 100 + paste)
                frames = torch.where(shape[:, None] > 0, cut, frames)
                masks = torch.where(shape > 0, shape, masks)
            if (masks[0] > 0).float().mean() > 0.01:
                gain, offset = random_colour(rng)
                order = torch.from_numpy(rng.permutation(256))
                return (frames * gain + offset).clamp(0, 1), *renumber(masks, self.objects, order)
        raise InputError(f"expected masks with objects in {self.folder.root}, found 50 empty ones: check the masks")

    def _layer(self, rng: np.random.Generator, paste_as: int | None) -> tuple[Tensor, Tensor]:
        """One image under T affine maps: (T, 3, S, S), (T, S, S). To paste: one object of it, renamed, elsewhere."""
        image, mask = self._shrunk(int(rng.integers(len(self.folder))))
        ids = mask.unique()
        ids = ids[ids > 0]
        if paste_as is not None and len(ids):
            mask = (mask == ids[rng.integers(len(ids))]).to(torch.uint8) * paste_as
        start = random_affine(rng, 1, rotate=0.4 if paste_as else 0.15, shift=0.6 if paste_as else 0.15)
        start = mirrored(start, torch.tensor([bool(rng.random() < 0.5)]))
        theta = compose(random_affine(rng, self.frames, zoom=(0.85, 1.2), shift=0.25), start.expand(self.frames, 2, 3))
        height, width = mask.shape
        square = torch.tensor([min(height, width) / width, min(height, width) / height])
        theta = theta * square[None, :, None]
        images, masks = image.expand(self.frames, -1, -1, -1), mask.expand(self.frames, -1, -1)
        return view_images(images, theta, self.size), view_masks(masks, theta, self.size)

    def _shrunk(self, index: int) -> tuple[Tensor, Tensor]:
        """Image (3, H, W) in [0, 1] and ids (H, W), large images shrunk once to about 1.25 S."""
        if index not in self._ready:
            image, mask = self.folder[index]
            pixels = torch.from_numpy(image).permute(2, 0, 1).float() / 255
            ids = torch.from_numpy(mask.copy())
            factor = 1.25 * self.size / min(mask.shape)
            if factor < 0.8:
                target = [round(side * factor) for side in mask.shape]
                pixels = F.interpolate(pixels[None], target, mode="bilinear", antialias=True)[0]
                ids = F.interpolate(ids[None, None].float(), target, mode="nearest-exact")[0, 0].to(torch.uint8)
            self._ready[index] = (pixels, ids)
        return self._ready[index]
