"""What can be written of a segmented video: masks, pictures and videos, frame by frame.

O objects, H W pixels.
"""

import os
import shutil
from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack
from difflib import get_close_matches
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stremn.data.clips import Pixels, read_image, read_mask, write_mask
from stremn.data.video import VideoWriter
from stremn.errors import InputError
from stremn.figures.overlays import cut_out, draw_overlay, matte, side_by_side
from stremn.files import replacing

RENDITIONS = {
    "masks": "masks",
    "overlay": "overlay.mp4",
    "matte": "matte",
    "matte-video": "matte.mp4",
    "object-mattes": "object_mattes",
    "cutout": "cutout",
    "side-by-side": "side_by_side.mp4",
}
"""Name of a rendition → its file, or its folder of PNGs named by frame.

``masks``: object ids. ``matte``: the probability of being an object, as grey. ``object-mattes``: the same for
each object, in a folder named by its id. ``cutout``: the frame, with the matte as its alpha channel.
"""
DEFAULT = ("masks", "overlay")
NEEDS = {"overlay": "masks", "side-by-side": "masks", "matte-video": "matte"}
"""PNGs from which a video is drawn again when a stopped run goes on."""


def chosen(names: str | Sequence[str]) -> tuple[str, ...]:
    """Renditions by name, ``masks,overlay`` or a sequence of names; each once, in the order of ``RENDITIONS``.

    Raises:
        InputError: an unknown name, named with the nearest one, or none at all.
    """
    wanted = [n.strip() for n in names.split(",")] if isinstance(names, str) else list(names)
    for name in wanted:
        if name not in RENDITIONS:
            near = get_close_matches(name, RENDITIONS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise InputError(f"expected to write some of {', '.join(RENDITIONS)}, found {name!r}{hint}")
    if not wanted:
        raise InputError(f"expected to write some of {', '.join(RENDITIONS)}, found none: choose one")
    return tuple(name for name in RENDITIONS if name in wanted)


class Renditions:
    """Writes renditions into a folder; a context manager, which completes the videos.

    ``masks`` are always written, and ``matte`` where a video needs it; ``tidy`` removes what was not asked for.

    Args:
        folder: where to; its PNGs of earlier frames stay.
        kinds: entries of ``RENDITIONS``.
        rate: frames per second of the videos.
    """

    def __init__(self, folder: Path, kinds: Collection[str], rate: Fraction) -> None:
        self.folder, self.kinds, self.rate = folder, kinds, rate
        self._pictures = {"masks", *kinds, *(NEEDS[k] for k in kinds if k in NEEDS)} - NEEDS.keys()
        self._videos: dict[str, VideoWriter] = {}

    def __enter__(self) -> Self:
        for kind in self._pictures:
            (self.folder / RENDITIONS[kind]).mkdir(exist_ok=True)
        with ExitStack() as stack:
            for kind in RENDITIONS:
                if kind in self.kinds and kind in NEEDS:
                    video = VideoWriter(self.folder / RENDITIONS[kind], self.rate)
                    self._videos[kind] = stack.enter_context(video)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def write(
        self,
        name: str,
        frame: Pixels,
        ids: NDArray[np.integer],
        probabilities: NDArray[np.floating],
        objects: Sequence[int],
    ) -> None:
        """Add a frame.

        Args:
            name: of the frame.
            frame: RGB, uint8 (H, W, 3).
            ids: object ids (H, W).
            probabilities: (O + 1, H, W), background first.
            objects: their ids, of length O.
        """
        write_mask(self._file("masks", name), ids)
        opacity = matte(1 - probabilities[0])
        if "matte" in self._pictures:
            _write(self._file("matte", name), opacity)
        if "cutout" in self._pictures:
            _write(self._file("cutout", name), cut_out(frame, opacity))
        if "object-mattes" in self._pictures:
            for number, probability in zip(objects, probabilities[1:], strict=True):
                folder = self.folder / RENDITIONS["object-mattes"] / str(number)
                folder.mkdir(exist_ok=True)
                _write(folder / f"{name}.png", matte(probability))
        self._film(frame, ids, opacity)

    def repeat(self, name: str, frame: Pixels) -> NDArray[np.uint8]:
        """Add a frame whose PNGs are there already to the videos; returns its ids (H, W)."""
        ids = read_mask(self._file("masks", name))
        opacity = read_image(self._file("matte", name))[..., 0] if "matte-video" in self._videos else ids
        self._film(frame, ids, opacity)
        return ids

    def tidy(self) -> None:
        """Remove the PNGs that were only needed on the way. For finished results."""
        for kind in self._pictures - set(self.kinds):
            shutil.rmtree(self.folder / RENDITIONS[kind])

    def _file(self, kind: str, name: str) -> Path:
        return self.folder / RENDITIONS[kind] / f"{name}.png"

    def _film(self, frame: Pixels, ids: NDArray[np.integer], opacity: Pixels) -> None:
        if "overlay" in self._videos or "side-by-side" in self._videos:
            drawn = draw_overlay(frame, ids)
            if "overlay" in self._videos:
                self._videos["overlay"].write(drawn)
            if "side-by-side" in self._videos:
                self._videos["side-by-side"].write(side_by_side(frame, drawn))
        if "matte-video" in self._videos:
            self._videos["matte-video"].write(np.repeat(opacity[..., None], 3, -1))


def bring_pictures(source: Path, target: Path, names: Iterable[str]) -> None:
    """Folders of PNGs of an earlier run in a new folder, by hard links where the disk has them."""
    for name in names:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, copy_function=_linked)


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _write(path: Path, pixels: Pixels) -> None:
    with replacing(path) as scratch:
        Image.fromarray(pixels).save(
            scratch, format="PNG", compress_level=3
        )  # a third of 6's time, 5 % larger
