"""Whether a video file ends before the length that it declares itself, seen from its outermost structure."""

from pathlib import Path
from typing import BinaryIO

TS_PACKETS = (188, 192, 204)  # bytes of a packet of MPEG transport streams; each begins with SYNC
SYNC = b"\x47"


def ends_early(path: Path) -> bool | None:
    """True: bytes are missing at the end. False: complete. None: of a format that declares no length."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(1024)
        if head[:4] == b"RIFF":
            return _chunks_end(file, size) > size
        if head[:4] == b"\x1aE\xdf\xa3":
            return _matroska_end(head) > size
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            return _boxes_end(file, size) > size
        if head[:3] == b"FLV":
            return not _flv_is_whole(file, size)
        if head[:4] == b"GIF8":
            return not _tail(file, size, 64).rstrip(b"\0").endswith(b"\x3b")
        if head[:4] == b"\x89PNG":
            return b"IEND" not in _tail(file, size, 64)
        if head[:4] == b"OggS":
            return not _ogg_is_whole(_tail(file, size, 2**17))
    for length in TS_PACKETS:  # 192: a time of four bytes before each packet
        starts = head[4 if length == 192 else 0 :: length]
        if len(starts) > 4 and not starts.strip(SYNC):
            return True if size % length else None
    return None


def _tail(file: BinaryIO, size: int, length: int) -> bytes:
    file.seek(max(0, size - length))
    return file.read()


def _chunks_end(file: BinaryIO, size: int) -> int:
    """Where the last chunk of RIFF (AVI) ends; large files have several."""
    at = 0
    while at < size:
        file.seek(at)
        head = file.read(8)
        if head[:4] != b"RIFF" or len(head) < 8:
            return at  # something else behind the last one
        length = int.from_bytes(head[4:], "little")
        at += 8 + length + length % 2
    return at - (at - size == 1)  # the last byte that makes it even may be left out


def _boxes_end(file: BinaryIO, size: int) -> int:
    """Where the last box of MP4 and QuickTime ends."""
    at = 0
    while at < size:
        file.seek(at)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8:  # 0: up to the end
            return size
        at += length
    return at


def _matroska_end(head: bytes) -> int:
    """Where the segment of Matroska and WebM ends; 0 where it does not say."""
    at = 4
    length, at = _variable(head, at)
    at += length
    if head[at : at + 4] != b"\x18\x53\x80\x67":
        return 0
    length, at = _variable(head, at + 4)
    return 0 if length < 0 else at + length


def _variable(data: bytes, at: int) -> tuple[int, int]:
    """A length of EBML, −1: unknown; and where it ends."""
    if at >= len(data) or not data[at]:
        return -1, at
    width = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + width], "big") - (1 << (7 * width))
    return (-1 if value == (1 << (7 * width)) - 1 else value), at + width


def _flv_is_whole(file: BinaryIO, size: int) -> bool:
    """The last four bytes give the length of the tag before them, which says the same."""
    length = int.from_bytes(_tail(file, size, 4), "big")
    if not 11 <= length <= size - 13:
        return size <= 13
    file.seek(size - 4 - length)
    return int.from_bytes(file.read(4)[1:], "big") == length - 11


def _ogg_is_whole(tail: bytes) -> bool:
    """The last page ends where the file does."""
    at = tail.rfind(b"OggS")
    if at < 0 or len(tail) < at + 27:
        return False
    segments = tail[at + 27 : at + 27 + tail[at + 26]]
    return len(tail) == at + 27 + len(segments) + sum(segments) and len(segments) == tail[at + 26]
