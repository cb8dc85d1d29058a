"""What can be written of a segmented video: masks, pictures and videos, frame by frame.

O objects, H W pixels.
"""

import shutil
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stremn.data.clips import Pixels, read_mask, write_mask
from stremn.data.frames import Frames
from stremn.data.pictures import read_image
from stremn.errors import InputError, nearest
from stremn.figures.overlays import cut_out, draw_overlay, matte, side_by_side
from stremn.files import replacing
from stremn.segmenting.video_writer import VideoWriter

OUTPUTS = {
    "masks": "masks",
    "binary": "binary",
    "overlay": "overlay.mp4",
    "matte": "matte",
    "matte-video": "matte.mp4",
    "object-mattes": "object_mattes",
    "cutout": "cutout",
    "side-by-side": "side_by_side.mp4",
}
"""Kind of output → its file, or its folder of PNGs named by frame.

``masks``: object ids. ``binary``: 255 where an object is, else 0. ``matte``: the probability of being an object,
as grey. ``object-mattes``: the same for each object, in a folder named by its id. ``cutout``: the frame, with the
matte as its alpha channel.
"""
DEFAULT = ("masks", "overlay")
VIDEO_FROM = {"overlay": "masks", "side-by-side": "masks", "matte-video": "matte"}
"""Kind of video → the PNGs from which it is written again when a stopped run goes on."""


def parse_kinds(names: str | Sequence[str]) -> tuple[str, ...]:
    """Kinds of output, ``masks,overlay`` or a sequence of names; each once, in the order of ``OUTPUTS``.

    Raises:
        InputError: an unknown name, named with the nearest one, or none at all.
    """
    wanted = [n.strip() for n in names.split(",")] if isinstance(names, str) else list(names)
    for name in wanted:
        if name not in OUTPUTS:
            hint = nearest(name, OUTPUTS)
            raise InputError(f"expected to write some of {', '.join(OUTPUTS)}, found {name!r}{hint}")
    if not wanted:
        raise InputError(f"expected to write some of {', '.join(OUTPUTS)}, found none: choose one")
    return tuple(name for name in OUTPUTS if name in wanted)


class Writers:
    """Writes several kinds of output into a folder; a context manager, which completes the videos.

    ``masks`` are always written, and ``matte`` where a video needs it, so that a stopped run can go on;
    ``remove_extra`` removes those that were not asked for.

    Args:
        folder: where to; its PNGs of earlier frames stay.
        kinds: entries of ``OUTPUTS``.
        frames: the video's, for the rate, the times and the aspect of those that are written.
    """

    def __init__(self, folder: Path, kinds: Collection[str], frames: Frames) -> None:
        self.folder, self.kinds, self.frames = folder, kinds, frames
        self._pictures = {
            "masks",
            *kinds,
            *(VIDEO_FROM[k] for k in kinds if k in VIDEO_FROM),
        } - VIDEO_FROM.keys()
        self._videos: dict[str, VideoWriter] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        for kind in self._pictures:
            (self.folder / OUTPUTS[kind]).mkdir(exist_ok=True)
        with ExitStack() as stack:
            for kind in OUTPUTS:
                if kind in self.kinds and kind in VIDEO_FROM:
                    path, source = self.folder / OUTPUTS[kind], self.frames
                    video = VideoWriter(path, source.rate, source.times(), source.aspect)
                    self._videos[kind] = stack.enter_context(video)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        if kind is not None:
            self.remove_videos()

    def write_pictures(
        self,
        name: str,
        frame: Pixels,
        ids: NDArray[np.integer],
        probabilities: NDArray[np.floating],
        objects: Sequence[int],
    ) -> None:
        """Write a frame's PNGs.

        Args:
            name: of the frame.
            frame: RGB, uint8 (H, W, 3).
            ids: object ids (H, W).
            probabilities: (O + 1, H, W), background first.
            objects: their ids, of length O.
        """
        write_mask(self._file("masks", name), ids)
        opacity = matte(1 - probabilities[0])
        if "binary" in self._pictures:
            _write_png(self._file("binary", name), np.where(ids > 0, 255, 0).astype(np.uint8))
        if "matte" in self._pictures:
            _write_png(self._file("matte", name), opacity)
        if "cutout" in self._pictures:
            _write_png(self._file("cutout", name), cut_out(frame, opacity))
        if "object-mattes" in self._pictures:
            for number, probability in zip(objects, probabilities[1:], strict=True):
                folder = self.folder / OUTPUTS["object-mattes"] / str(number)
                folder.mkdir(exist_ok=True)
                _write_png(folder / f"{name}.png", matte(probability))

    def write_videos(
        self, frame: Pixels, ids: NDArray[np.integer], probabilities: NDArray[np.floating]
    ) -> None:
        """Add a frame to the videos; arguments as of ``write_pictures``."""
        self._add_to_videos(frame, ids, matte(1 - probabilities[0]))

    def rewrite(self, name: str, frame: Pixels) -> NDArray[np.uint8]:
        """Add to the videos a frame that has its PNGs already; returns its ids (H, W)."""
        ids = read_mask(self._file("masks", name))
        opacity = read_image(self._file("matte", name))[..., 0] if "matte-video" in self._videos else ids
        self._add_to_videos(frame, ids, opacity)
        return ids

    def remove_extra(self) -> None:
        """Remove the PNGs that were not asked for. For finished results."""
        for kind in self._pictures - set(self.kinds):
            shutil.rmtree(self.folder / OUTPUTS[kind])

    def remove_videos(self) -> None:
        """Remove the videos, which are written again when the run goes on. For stopped results, and for room."""
        self._stack.__exit__(InputError, None, None)  # those that are open are not completed
        for kind in self._videos:
            (self.folder / OUTPUTS[kind]).unlink(missing_ok=True)

    def _file(self, kind: str, name: str) -> Path:
        return self.folder / OUTPUTS[kind] / f"{name}.png"

    def _add_to_videos(self, frame: Pixels, ids: NDArray[np.integer], opacity: Pixels) -> None:
        if "overlay" in self._videos or "side-by-side" in self._videos:
            drawn = draw_overlay(frame, ids)
            if "overlay" in self._videos:
                self._videos["overlay"].write(drawn)
            if "side-by-side" in self._videos:
                self._videos["side-by-side"].write(side_by_side(frame, drawn))
        if "matte-video" in self._videos:
            self._videos["matte-video"].write(np.repeat(opacity[..., None], 3, -1))


def _write_png(path: Path, pixels: Pixels) -> None:
    with replacing(path) as scratch:
        # compress_level 3 takes a third of 6's time; the files are 5 % larger
        Image.fromarray(pixels).save(scratch, format="PNG", compress_level=3)
