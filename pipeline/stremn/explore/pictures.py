"""Any frame of a video by its number, decoded when it is asked for and not before.

T frames, H W pixels.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stremn.data.decoded import rgb
from stremn.data.decoder import DamagedVideo, Decoder
from stremn.data.frames import Frames
from stremn.data.pictures import Pixels, read_image
from stremn.data.video import ImageFolder, open_frames
from stremn.data.video_file import VideoFile, checksum
from stremn.errors import InputError
from stremn.segmenting.sources import ClipRange

CACHE = 2**27  # bytes of decoded frames that are kept
NEAR = 16  # frames that are decoded on the way rather than looking for a key frame


class Pictures:
    """The frames of a video by number.

    Attributes:
        name: of the video.
        size: (H, W) of every frame.
        frames: the same from its file or folder, in order; None: it has none.
        blank: the frames are not at hand.
    """

    name: str
    size: tuple[int, int]
    frames: Frames | None = None
    blank = False

    def __init__(self) -> None:
        self._kept: OrderedDict[int, Pixels] = OrderedDict()

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, number: int) -> Pixels:
        """Frame ``number``, uint8 (H, W, 3) RGB.

        Raises:
            InputError: no such frame, or it cannot be decoded.
        """
        if not 0 <= number < len(self):
            raise InputError(f"expected a frame of 0 to {len(self) - 1} of {self.name}, found {number}")
        if number in self._kept:
            self._kept.move_to_end(number)
            return self._kept[number]
        frame = self._load(number)
        if frame.shape[:2] != self.size:
            raise InputError(
                f"expected frames of {self.size} pixels as the first, found {frame.shape[:2]} at frame {number} "
                f"of {self.name}; resize it"
            )
        self._kept[number] = frame
        while len(self._kept) > max(2, CACHE // max(1, frame.nbytes)):
            self._kept.popitem(last=False)
        return frame

    def again(self) -> "Pictures":
        """The same video with a reader of its own, so that two can read at different places."""
        raise NotImplementedError

    def _load(self, number: int) -> Pixels:
        raise NotImplementedError


class ArrayPictures(Pictures):
    """Frames that are in memory, uint8 (T, H, W, 3)."""

    def __init__(self, frames: Sequence[Pixels] | Pixels, name: str = "frames") -> None:
        super().__init__()
        self._frames, self.name = frames, name
        if not len(frames) or frames[0].ndim != 3 or frames[0].dtype != np.uint8:
            raise InputError("expected frames of uint8 (T, H, W, 3) with T ≥ 1; convert them")
        self.size = frames[0].shape[:2]

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, number: int) -> Pixels:
        if not 0 <= number < len(self):
            raise InputError(f"expected a frame of 0 to {len(self) - 1} of {self.name}, found {number}")
        return np.asarray(self._frames[number])

    def again(self) -> "Pictures":
        return self


class FolderPictures(Pictures):
    """A folder of images in natural order."""

    def __init__(self, folder: ImageFolder) -> None:
        super().__init__()
        self._folder, self.name, self.size = folder, folder.path.name, folder.size
        self.frames = folder

    def __len__(self) -> int:
        return len(self._folder.files)

    def again(self) -> "Pictures":
        return FolderPictures(self._folder)

    def _load(self, number: int) -> Pixels:
        return read_image(self._folder.files[number], self._folder.files)


class PartPictures(Pictures):
    """The frames of a video from ``start`` on, counted from 0."""

    def __init__(self, whole: Pictures, start: int) -> None:
        super().__init__()
        self._whole, self._start, self.name, self.size = whole, start, whole.name, whole.size
        self.frames = None if whole.frames is None else ClipRange(whole.frames, start)

    def __len__(self) -> int:
        return max(0, len(self._whole) - self._start)

    def again(self) -> "Pictures":
        return PartPictures(self._whole.again(), self._start)

    def _load(self, number: int) -> Pixels:
        return self._whole[number + self._start]


class VideoPictures(Pictures):
    """A video file: the frames of its list, decoded when they are seen.

    A frame is found by its time, from the key frame before it. Where that gives another one than the list has
    (files without times, open groups of pictures), frames are counted from the beginning.
    """

    def __init__(self, video: VideoFile) -> None:
        super().__init__()
        self._video, self.name, self.size = video, video.path.name, video.size
        self.frames = video
        self._count = video.counted()
        self._in_order = video.times() is not None
        self._decoder: Decoder | None = None
        self._frames: Iterator[Any] = iter(())
        self._next = 0

    def __len__(self) -> int:
        return self._count

    def again(self) -> "Pictures":
        return VideoPictures(self._video)

    def _load(self, number: int) -> Pixels:
        frame = self._from(self._next, number) if self._next <= number < self._next + NEAR else None
        if frame is None and self._in_order:
            self._begin(self._video.listed[number].pts)
            frame = self._from(None, number)
        if frame is None:
            self._begin()
            frame = self._from(0, number)
        if frame is None:
            raise InputError(
                f"expected frame {number} of {self._video.path} as it was when it was opened, found another; "
                "open it again"
            )
        return rgb(frame, self._video.matrix)

    def _begin(self, time: int | None = None) -> None:
        if self._decoder is not None:
            self._decoder.close()
        self._decoder = self._video.decoder()
        self._frames = self._decoder.frames(time)

    def _from(self, at: int | None, number: int) -> Any:
        """The frame of that number, where the next one is ``at`` (None: to be found by its time); None: it is not."""
        wanted = self._video.listed[number]
        self._next = len(self)  # unless it is found
        try:
            for place, frame in enumerate(self._frames, at or 0):
                if (at is None and (frame.pts is None or frame.pts < (wanted.pts or 0))) or (
                    at is not None and place < number
                ):
                    continue
                if checksum(frame) != wanted.checksum or (at is None and frame.pts != wanted.pts):
                    return None
                self._next = number + 1
                return frame
        except DamagedVideo:
            pass
        return None


def pictures(
    source: "Pictures | Path | str | Sequence[Pixels] | Pixels",
    name: str = "frames",
    without: Iterable[Path | str] = (),
) -> Pictures:
    """Frames by number, of a video file, of a folder of images, or of frames in memory.

    Args:
        without: files that are no frames, should they lie in the folder (masks).

    Raises:
        InputError: nothing there, or nothing that can be read.
    """
    if isinstance(source, Pictures):
        return source
    if isinstance(source, str | Path):
        frames = open_frames(source, without)
        return FolderPictures(frames) if isinstance(frames, ImageFolder) else VideoPictures(frames)
    return ArrayPictures(source, name)
