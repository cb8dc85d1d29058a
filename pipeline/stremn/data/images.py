"""Short clips made of static images with masks by random affine transforms.

Source: STM Sec. 3.5 ("rotation, sheering, zooming, translation, and cropping"), STReMN Sec. 4.1.
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from stremn.data.annotated import Images
from stremn.data.augment import compose, mirrored, random_affine, random_colours, share_in_view, view_many
from stremn.data.batches import ClipBatch, renumber
from stremn.errors import InputError

FIRST_PASTED = 100  # pasted objects get ids from here on, apart from those of the image below


class ImageClipSampler:
    """Clips of T frames from single images, a pure function of (seed, step).

    The image itself moves as a whole, as in STM; up to O − 1 objects cut out of other images are pasted over
    it, each with a movement of its own, so that objects pass each other and the background.
    Differs: STM moves the image with its mask only; pasting gives independent motion and several objects.

    Args:
        images: with masks; batch, frames, objects: B, T, O; size: side S in pixels.
    """

    def __init__(
        self, images: Images, batch: int, frames: int, objects: int, size: int, seed: int = 0
    ) -> None:
        self.images, self.batch_size, self.frames = images, batch, frames
        self.objects, self.size, self.seed = objects, size, seed
        self._ready: dict[int, tuple[Tensor, Tensor]] = {}

    def batch(self, step: int) -> ClipBatch:
        """The batch of a step, the same for the same seed. Every clip has an object in its first frame."""
        rng = np.random.default_rng([self.seed, step])
        pastes = rng.integers(0, self.objects, self.batch_size)
        frames, masks = view_many([self._base(rng) for _ in pastes], self.size)
        owners = np.repeat(np.arange(self.batch_size), pastes)
        cuts = [self._paste(rng, FIRST_PASTED + number % 100) for number in range(len(owners))]
        if cuts:
            _lay_over(frames, masks, *view_many(cuts, self.size, mirror_masks=False), owners)
        gain, offset = random_colours(rng, self.batch_size)
        seen = (frames * gain + offset).clamp_(0, 1)
        orders = [torch.from_numpy(rng.permutation(256)) for _ in pastes]
        numbered = [renumber(masks[clip], self.objects, order) for clip, order in enumerate(orders)]
        ids, present = (torch.stack(parts) for parts in zip(*numbered, strict=True))
        return ClipBatch(seen, ids, present)

    def _base(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """A whole image with its mask and T maps that keep an object in view at first."""
        for _ in range(100):
            image, mask = self._shrunk(int(rng.integers(len(self.images))))
            theta = self._moves(rng, mask, rotate=0.15, shift=0.15)
            if share_in_view(mask, theta[0]) > 0.3:
                return image.expand(self.frames, -1, -1, -1), mask.expand(self.frames, -1, -1), theta
        raise InputError(
            f"expected masks with objects in {self.images.root}, found 100 empty: check the masks"
        )

    def _paste(self, rng: np.random.Generator, label: int) -> tuple[Tensor, Tensor, Tensor]:
        """One object of an image under an id of its own, to be laid over another image."""
        image, mask = self._shrunk(int(rng.integers(len(self.images))))
        ids = np.unique(mask.numpy())[1:]
        chosen = int(rng.choice(ids)) if len(ids) else 255
        alone = (mask == chosen).to(torch.uint8) * label
        theta = self._moves(rng, mask, rotate=0.4, shift=0.6)
        return image.expand(self.frames, -1, -1, -1), alone.expand(self.frames, -1, -1), theta

    def _moves(self, rng: np.random.Generator, mask: Tensor, rotate: float, shift: float) -> Tensor:
        """A random view of an image and T random movements of it: maps (T, 2, 3)."""
        height, width = mask.shape
        start = random_affine(rng, 1, rotate=rotate, shift=shift)
        start = mirrored(start, torch.tensor([bool(rng.random() < 0.5)])).expand(self.frames, 2, 3)
        moves = compose(random_affine(rng, self.frames, zoom=(0.85, 1.2), shift=0.25), start)
        square = torch.tensor([min(1.0, height / width), min(1.0, width / height)])
        return moves * square[None, :, None]

    def _shrunk(self, index: int) -> tuple[Tensor, Tensor]:
        """Image (3, H, W) in [0, 1] and ids (H, W), large images shrunk once to about 1.25 S."""
        if index not in self._ready:
            image, mask = self.images[index]
            pixels = torch.from_numpy(image).permute(2, 0, 1).float() / 255
            ids = torch.from_numpy(mask.copy())
            factor = 1.25 * self.size / min(mask.shape)
            if factor < 0.8:
                target = [round(side * factor) for side in mask.shape]
                pixels = F.interpolate(pixels[None], target, mode="bilinear", antialias=True)[0]
                ids = F.interpolate(ids[None, None].float(), target, mode="nearest-exact")[0, 0].to(
                    torch.uint8
                )
            self._ready[index] = (pixels, ids)
        return self._ready[index]


def _lay_over(
    frames: Tensor, masks: Tensor, cut_frames: Tensor, cut_masks: Tensor, owners: NDArray[np.integer]
) -> None:
    """Paste objects (N, T, …) into the clips (B, T, …) that ``owners`` (N,) names, in place.

    One that would hide most of what a clip shows at first is left out.
    """
    for owner, pixels, ids in zip(owners, cut_frames, cut_masks, strict=True):
        cover, below = ids > 0, masks[owner, 0] > 0
        if (cover[0] & below).sum() > 0.7 * below.sum():
            continue
        frames[owner] = torch.where(cover[:, None], pixels, frames[owner])
        masks[owner] = torch.where(cover, ids, masks[owner])
