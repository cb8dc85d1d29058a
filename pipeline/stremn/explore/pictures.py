"""Any frame of a video by its number, decoded when it is asked for and not before.

T frames, H W pixels.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np

from stremn.data.clips import Pixels, read_image
from stremn.data.video import Frames, ImageFolder, open_frames, upright
from stremn.errors import InputError

CACHE = 2**27  # bytes of decoded frames that are kept


class Pictures:
    """The frames of a video by number.

    Attributes:
        name: of the video.
        size: (H, W) of every frame.
    """

    name: str
    size: tuple[int, int]

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

    def __len__(self) -> int:
        return len(self._folder.files)

    def again(self) -> "Pictures":
        return FolderPictures(self._folder)

    def _load(self, number: int) -> Pixels:
        return read_image(self._folder.files[number])


class VideoPictures(Pictures):
    """A video file; the times of its frames are read at once (no pixel), the frames when they are seen.

    A frame is found by seeking to the key frame before it, and reading on from there.
    """

    def __init__(self, video: Frames) -> None:
        super().__init__()
        self._video, self.name, self.size = video, video.path.name, video.size
        with av.open(str(video.path)) as container:
            packets = container.demux(container.streams.video[0])
            self._times = sorted(p.pts for p in packets if p.pts is not None)
        self._reader: Iterator[Any] | None = None
        self._next = 0
        self._container: Any = None

    def __len__(self) -> int:
        return len(self._times)

    def again(self) -> "Pictures":
        return VideoPictures(self._video)

    def _load(self, number: int) -> Pixels:
        wanted = self._times[number]
        if self._reader is None or not self._next <= number < self._next + 16:
            self._seek(wanted)
        assert self._reader is not None
        for frame in self._reader:
            if frame.pts is None or frame.pts < wanted:
                continue
            self._next = number + 1
            return upright(frame)
        self._reader = None
        raise InputError(f"expected a readable video, found frame {number} of {self._video.path} missing")

    def _seek(self, time: int) -> None:
        if self._container is not None:
            self._container.close()
        self._container = av.open(str(self._video.path))
        stream = self._container.streams.video[0]
        stream.thread_type = "AUTO"
        self._container.seek(time, stream=stream, backward=True)
        self._reader = self._container.decode(stream)


def pictures(source: "Pictures | Path | str | Sequence[Pixels] | Pixels", name: str = "frames") -> Pictures:
    """Frames by number, of a video file, of a folder of images, or of frames in memory.

    Raises:
        InputError: nothing there, or nothing that can be read.
    """
    if isinstance(source, Pictures):
        return source
    if isinstance(source, str | Path):
        frames = open_frames(source)
        return FolderPictures(frames) if isinstance(frames, ImageFolder) else VideoPictures(frames)
    return ArrayPictures(source, name)
