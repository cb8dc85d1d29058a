"""Is one file damaged? Told from its first and last bytes; pixels are not decoded."""

import json
import os
from pathlib import Path

from stremn.acquire.sniff import MAGIC

TAIL = 1 << 16
PNG_END = b"IEND\xaeB`\x82"
JPEG_END = b"\xff\xd9"
KNOWN = {".jpg", ".jpeg", ".png", ".npy", ".json", ".avi", ".mat", ".gz", ".zip", ".txt"}


def fault(path: Path) -> str:
    """What is wrong with a file, in a few words; the empty text for nothing.

    JPEG and PNG must begin and end as such, an AVI must be as long as it says, JSON must be readable,
    others must not be empty.
    """
    try:
        size = path.stat().st_size
    except OSError:
        return "cannot be read"
    if size == 0:
        return "empty"
    suffix = path.suffix.lower()
    try:
        return _content(path, suffix, size)
    except (OSError, ValueError) as error:
        return f"cannot be read ({str(error)[:60]})"


def _content(path: Path, suffix: str, size: int) -> str:
    if suffix == ".json":
        json.loads(path.read_bytes())
        return ""
    magic = MAGIC.get(suffix)
    if magic is None:
        return ""
    with path.open("rb") as file:
        head = file.read(16)
        if not head.startswith(magic):
            return f"not a {suffix} file"
        file.seek(max(0, size - TAIL), os.SEEK_SET)
        tail = file.read(TAIL)
    if suffix == ".png" and PNG_END not in tail:
        return "cut off"
    if suffix in (".jpg", ".jpeg") and JPEG_END not in tail:
        return "cut off"
    if suffix == ".avi" and int.from_bytes(head[4:8], "little") + 8 > size:
        return "cut off"
    return ""
