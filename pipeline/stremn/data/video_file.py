"""Video files: one list of their frames, in the order in which they are shown. H W pixels."""

import zlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from stremn.data.decoded import HLG, PQ, display_matrix, rgb, turned
from stremn.data.decoder import DamagedVideo, Decoder, packets_before_key
from stremn.data.frames import DIGITS, FOLDER_RATE, Frames
from stremn.data.pictures import Pixels, size_text
from stremn.data.truncated import ends_early
from stremn.errors import InputError, warn

MOST_RATE = 1000  # frames per second that a container can mean


class Listed(NamedTuple):
    """What is known of a frame before it is read again: its time in ticks, and ``checksum``."""

    pts: int | None
    checksum: int


class VideoFile(Frames):
    """A video file, its frames named ``00000``, ``00001``, …; upright, in the colours of a usual screen.

    Its frames are those that decoding gives: what a container declares may be more (edit lists, packets without a
    picture, a damaged end). ``counted`` decodes to list them.

    Attributes:
        listed: the frames counted so far.
        declared: number of frames as the container declares it; None: it does not.
        matrix: by which its frames are shown, see ``decoded.display_matrix``.
        damage: why the list ends before the file does; None: it does not, as far as was counted.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage: DamagedVideo | None = None
        self._skip = packets_before_key(path)
        self._lenient = self._skip > 0
        self.listed: list[Listed] = []
        try:
            self._look()
        except DamagedVideo:
            self._lenient = True
            self._look()

    def decoder(self) -> Decoder:
        """A new pass over the file."""
        return Decoder(self.path, self._skip, self._lenient)

    def _look(self) -> None:
        """What the stream and its first frame say of the whole."""
        with self.decoder() as decoder:
            frame, stream = next(decoder.frames(), None), decoder.stream
            if frame is None:
                raise InputError(
                    f"expected frames in the video {self.path}, found none that can be decoded; convert it to MP4, "
                    "or name another file"
                )
            self._stored = (frame.height, frame.width)
            self.matrix = display_matrix(frame)
            sideways = turned(self.matrix)
            self.size = self._stored[::-1] if sideways else self._stored
            self.declared: int | None = stream.frames or None
            self.rate = _rate(stream)
            self._tick = Fraction(stream.time_base or 1 / self.rate)
            aspect = Fraction(stream.sample_aspect_ratio or 1)
            self.aspect = 1 / aspect if sideways else aspect
            self.notes = list(self._remarks(decoder, frame))

    def _remarks(self, decoder: Decoder, frame: Any) -> Iterator[str]:
        if decoder.streams > 1:
            yield f"{self.path} has {decoder.streams} videos: the first one is read"
        if decoder.left_out:
            yield (
                f"{self.path} begins between key frames: {decoder.left_out} packets before its first whole picture, "
                "which is frame 0, are left out"
            )
        if frame.color_trc in (PQ, HLG):
            yield f"{self.path} is HDR: its frames are tone-mapped to BT.709"
        if frame.interlaced_frame:
            yield f"{self.path} is interlaced: what moves has combs; deinterlace it before for better masks"

    def counted(self, limit: int | None = None) -> int:
        """Number of frames that can be read, at most ``limit``; a warning tells where the file is damaged."""
        if self.count is None and (limit is None or limit > len(self.listed)):
            self._list(limit)
        return len(self.listed) if limit is None else min(limit, len(self.listed))

    def _list(self, limit: int | None) -> None:
        """Decode up to ``limit`` frames; no pixel is converted."""
        self.listed = []
        with self.decoder() as decoder, tqdm(desc="listing frames", unit="frame", delay=5) as bar:
            try:
                for frame in self._checked(decoder):
                    self.listed.append(Listed(frame.pts, checksum(frame)))
                    bar.update()
                    if len(self.listed) == limit:
                        return
            except DamagedVideo as damage:
                self.damage = damage
        self.count = len(self.listed)
        if self.damage is not None:
            warn(f"{self.damage}; only the {self.count} frames before it can be read")
        elif decoder.cut_short or ends_early(self.path):
            warn(f"{self.path} is incomplete, bytes are missing at its end: {self.count} frames can be read")

    def _checked(self, decoder: Decoder) -> Iterator[Any]:
        """All frames; one of another size is damage."""
        for frame in decoder.frames():
            if (frame.height, frame.width) != self._stored:
                found, first = size_text((frame.height, frame.width)), size_text(self._stored)
                raise decoder.damaged(f"of {found} pixels, the first has {first}")
            yield frame
        if decoder.indexed and ends_early(self.path):
            raise decoder.damaged("the file ends before it")

    def times(self) -> Sequence[Fraction] | None:
        """See ``Frames.times``; None also where the file's times are missing or not in order (AVI, raw streams)."""
        known = [frame.pts for frame in self.listed if frame.pts is not None]
        if len(known) < len(self.listed) or any(b <= a for a, b in pairwise(known)):
            return None
        return [pts * self._tick for pts in known]

    def _read(self) -> Iterator[tuple[str, Pixels]]:
        with self.decoder() as decoder:
            for frame in self._checked(decoder):
                yield f"{decoder.given:0{DIGITS}d}", rgb(frame, self.matrix)


def _rate(stream: Any) -> Fraction:
    """Frames per second: on the average, or what the stream says where the container has no times."""
    average, said = stream.average_rate, stream.guessed_rate
    usual = average is not None and average <= MOST_RATE and stream.container.duration is not None
    return Fraction((average if usual else said or average) or FOLDER_RATE).limit_denominator(1001)


def checksum(frame: Any) -> int:
    """CRC-32 of a decoded frame's first plane (luma, or all of packed colours); its padding does not count."""
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height]
    bits = (
        sum(c.bits for c in frame.format.components)
        if len(frame.planes) == 1
        else frame.format.components[0].bits
    )
    return zlib.crc32(rows[:, : frame.width * (-(-bits // 8))].tobytes())
