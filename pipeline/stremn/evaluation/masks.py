"""Reading masks: object ids from palette and grey PNG files, fast where a file is plain.

Source: Portable Network Graphics, W3C recommendation (chunks, filter types, zlib stream).
"""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from stremn.errors import InputError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _PALETTE = 0, 3
_PIECE = 2**15


class MaskReader:
    """Reads the masks of one folder, where one writer made all; an array is valid until the next call."""

    def __init__(self) -> None:
        self._rows = np.empty((0, 0), np.uint8)
        self._plain_files = True
        self._last: tuple[bytes, np.ndarray] | None = None

    def __call__(self, path: Path) -> np.ndarray:
        """Object ids (H, W) uint8: palette indices, or grey values (of grey with alpha: without alpha).

        InputError: no such file, not a picture, damaged, neither palette nor grey.
        """
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise InputError(f"expected a mask at {path}, found no file") from None
        except OSError as error:
            raise InputError(f"expected to read {path}, could not: {error.strerror}") from None
        if self._last is None or self._last[0] != data:
            ids = self._plain(data) if self._plain_files else None
            self._plain_files = ids is not None
            self._last = data, _any(path, data) if ids is None else ids
        return self._last[1]

    def _plain(self, data: bytes) -> np.ndarray | None:
        """Ids of an eight-bit palette or grey PNG without row filters; None for every other file.

        Such rows need no decoding but zlib's. Checksums of the compressed chunks are checked.
        """
        header = _header(data)
        stream = None if header is None else _stream(data)
        if header is None or stream is None:
            return None
        width, height = header
        if self._rows.shape != (height, width + 1):
            self._rows = np.empty((height, width + 1), np.uint8)
        if not _inflate(stream, self._rows.reshape(-1)) or self._rows[:, 0].any():
            return None
        return self._rows[:, 1:]


def _header(data: bytes) -> tuple[int, int] | None:
    """Width and height when the file is a PNG of eight bits, palette or grey, not interlaced."""
    if data[:8] != _SIGNATURE or data[12:16] != b"IHDR" or len(data) < 33:
        return None
    width, height, bits, colour, *rest = struct.unpack(">IIBBBBB", data[16:29])
    plain = bits == 8 and colour in (_GREY, _PALETTE) and rest == [0, 0, 0]
    return (width, height) if plain and 0 < width * height <= 2**28 else None


def _stream(data: bytes) -> bytes | None:
    """The joined IDAT chunks; None when a chunk is damaged or the end is missing."""
    at, parts = 8, []
    while at + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8], data[at + 4 : at + 8 + size]
        if len(body) != size + 4 or at + 12 + size > len(data):
            return None
        if zlib.crc32(body) != struct.unpack_from(">I", data, at + 8 + size)[0]:
            return None
        if kind == b"tRNS":
            return None
        if kind == b"IDAT":
            parts.append(body[4:])
        if kind == b"IEND":
            return b"".join(parts)
        at += 12 + size
    return None


def _inflate(stream: bytes, into: np.ndarray) -> bool:
    """Decompress a zlib stream piece by piece; false when it is damaged or not as long as ``into``.

    The two bytes of zlib's header are skipped, and its checksum, as the chunks have their own.
    """
    if len(stream) < 6 or stream[0] & 15 != 8 or stream[1] & 32:
        return False
    inflater, at, rest = zlib.decompressobj(-15), 0, stream[2:]
    try:
        while not inflater.eof and at < len(into):
            piece = inflater.decompress(rest, min(_PIECE, len(into) - at))
            if not piece:
                return False
            into[at : at + len(piece)] = np.frombuffer(piece, np.uint8)
            at, rest = at + len(piece), inflater.unconsumed_tail
    except zlib.error:
        return False
    return at == len(into)


def _any(path: Path, data: bytes) -> np.ndarray:
    """Ids of any file that Pillow reads as palette or grey."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.mode in ("P", "L", "1"):
                return np.asarray(image).astype(np.uint8, copy=False)
            if image.mode == "LA":
                return np.array(image)[..., 0]
            found = f"mode {image.mode}"
    except Image.UnidentifiedImageError:
        found = "no picture"
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        found = " ".join(str(error).split())
    raise InputError(f"{path}: expected a palette or grey PNG of object ids, found {found}")
