"""One pass of FFmpeg's decoder over a video file."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import av
from av.error import FFmpegError
from av.stream import Disposition

from stremn.data.truncated import ends_early
from stremn.errors import InputError

STRICT = {
    "err_detect": "explode",
    "max_pixels": str(2**26),
}  # FFmpeg: do not conceal damage; 8192×8192 at most
LOCAL = {"protocol_whitelist": "file"}  # FFmpeg: a playlist opens nothing on a network
INDEXED = "mp4"  # in FFmpeg's name of containers that list their frames
THREADS = 4  # of a pass; fixed, because as many frames before a damaged one may be lost


class DamagedVideo(InputError):
    """A frame cannot be decoded."""


class Decoder:
    """Decodes a file's video once; a context manager.

    Args:
        path: of the file.
        skip: packets to leave out at the beginning.
        lenient: what cannot be decoded before the first whole picture is left out, too.

    Attributes:
        stream: PyAV's.
        streams: number of videos in the file, cover pictures not counted.
        indexed: the container lists its frames: one that is missing at the end is known to be missing.
        given: frames given so far.
        left_out: packets left out at the beginning.
        cut_short: the last picture is incomplete, and left out.

    Raises:
        InputError: no video.
    """

    def __init__(self, path: Path, skip: int = 0, lenient: bool = False) -> None:
        self.path, self.skip, self.lenient = path, skip, lenient
        self.given, self.left_out, self.cut_short = 0, skip, False
        self._last, self._rising = -(2**63), True  # time of the last frame; whether all times rise
        try:
            self._container: Any = av.open(str(path), options=LOCAL)
        except (FFmpegError, OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise InputError(
                f"expected a video file or a folder of images at {path}, found: {why}; name another"
            ) from None
        found = self._container.streams.video
        videos = [s for s in found if not s.disposition & Disposition.attached_pic]
        if not videos:
            self._container.close()
            what = "only a cover picture" if found else "no pictures in it"
            raise InputError(f"expected a video in {path}, found {what}; name another file")
        self.streams, self.indexed = len(videos), INDEXED in self._container.format.name
        self.stream: Any = videos[0]
        if self.stream.codec_context is None:
            self._container.close()
            raise InputError(
                f"expected a video in {path}, found one of a codec that is not known; convert it"
            )
        self.stream.codec_context.options = STRICT
        # with several threads an error of one frame becomes the others' error, or is concealed without a word
        self.stream.codec_context.thread_count = 1 if lenient else THREADS
        self.stream.thread_type = "AUTO"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the file back."""
        self._container.close()

    def packets(self) -> Iterator[Any]:
        """PyAV's packets, but those to leave out; the last one is empty."""
        left = self.skip
        for packet in self._container.demux(self.stream):
            if left and packet.size:
                left -= 1
            else:
                yield packet

    def frames(self, time: int | None = None) -> Iterator[Any]:
        """PyAV's frames in the order in which they are shown; corrupt ones are never given.

        Args:
            time: begin at the key frame before it, in the stream's ``time_base``; None: at the beginning.

        Raises:
            DamagedVideo: with the frame's number, counted from where this began.
        """
        if time is not None:
            self.skip = 0
            self._container.seek(time, stream=self.stream, backward=True)
        packets = self.packets()
        while True:
            why = ""
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                if packet.is_corrupt:
                    why = "the data ends too early or is marked as damaged"
                frames = self._before(packet) if why else packet.decode()
            except FFmpegError as error:
                why, frames = str(error.strerror or error), []
            for frame in frames:
                if frame.is_corrupt:
                    why = "marked as damaged"
                    break
                self._rising = frame.pts is not None and self._rising and frame.pts > self._last
                self._last = frame.pts or 0
                yield frame
                self.given += 1
            if why and not self._goes_on(packets):
                if self.cut_short:
                    return
                raise self.damaged(why)

    def _before(self, packet: Any) -> list[Any]:
        """Frames that the decoder still holds and that are shown before any frame of this packet or a later one."""
        held = self.stream.decode(None)
        self.stream.codec_context.flush_buffers()  # it would take nothing more
        if not self._rising or packet.dts is None:
            return []
        return [f for f in held if f.pts is not None and self._last < f.pts < packet.dts]

    def _goes_on(self, packets: Iterator[Any]) -> bool:
        """After an error: whether it is one before the first picture; notes whether it is one at the very end."""
        if self.lenient and not self.given:
            self.left_out += 1
            return True
        if not self.indexed and ends_early(self.path) is not False:
            with suppress(FFmpegError):
                self.cut_short = not any(packet.size for packet in packets)
        return False

    def damaged(self, why: str) -> DamagedVideo:
        """The error of the frame after those given."""
        return DamagedVideo(
            f"expected a readable video, found frame {self.given} of {self.path} damaged ({why}); replace the file"
        )


def packets_before_key(path: Path) -> int:
    """Packets before the first one that says it can be decoded alone; 0 where none says so."""
    count = 0
    with Decoder(path) as decoder:
        try:
            for packet in decoder.packets():
                if packet.is_keyframe:
                    return count
                count += packet.size > 0
        except FFmpegError:
            pass
    return 0
