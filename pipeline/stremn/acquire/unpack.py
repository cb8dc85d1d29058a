"""Opening archives without trusting them.

Refused: paths outside of the folder, absolute paths, links, devices, encrypted members, and archives that grow
beyond a limit. Names are checked before a byte is written, sizes while writing: what an archive says about
itself is not believed. Permissions and owners are not taken over.
"""

import gzip
import lzma
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from stremn.acquire.progress import Stopped
from stremn.errors import InputError

CHUNK = 1 << 20
RATIO = 200  # a member may grow by this much …
FREE = 16 << 20  # … once it is larger than this, in bytes
MEMBERS = 2_000_000
LITTER = ("__MACOSX/", ".DS_Store")
BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    gzip.BadGzipFile,
    EOFError,
    NotImplementedError,
)


class Member(NamedTuple):
    """One file of an archive: its name there, its packed size (0: unknown), and how to read it."""

    name: str
    packed: int
    stream: IO[bytes] | gzip.GzipFile


def unpack(
    archive: Path, folder: Path, limit: int, strip: str = "", stop: threading.Event | None = None
) -> int:
    """Open an archive into a folder.

    Args:
        archive: zip, tar (also .gz, .bz2, .xz), or one file with .gz.
        folder: a scratch folder; on an error it holds halves and is to be removed.
        limit: most bytes that may be written.
        strip: top folder that is left away, where members have it.
        stop: when set, unpacking stops.

    Returns:
        bytes written.

    Raises:
        InputError: the archive is damaged or not to be trusted; one line.
        Stopped: ``stop`` was set.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = 0
    try:
        for count, member in enumerate(_members(archive), start=1):
            if count > MEMBERS:
                raise InputError(f"expected at most {MEMBERS} files in {archive.name}, found more")
            path = _place(folder, member.name, strip, archive.name)
            if path is not None:
                written += _write(member, path, limit - written, archive.name, stop)
    except BROKEN as error:
        raise InputError(
            f"expected a whole archive {archive.name}, found a damaged one ({str(error)[:100]}): get it again"
        ) from None
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise InputError(f"expected files and folders of different names in {archive.name}") from None
    return written


def _members(archive: Path) -> Iterator[Member]:
    if archive.name.endswith(".zip"):
        return _zip_members(archive)
    if archive.name.endswith((".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")):
        return _tar_members(archive)
    if archive.name.endswith(".gz"):
        return _gzip_member(archive)
    raise InputError(f"expected a zip or tar archive, found {archive.name}: unpack it by hand")


def _zip_members(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as opened:
        infos = opened.infolist()
        for info in infos:
            kind = (info.external_attr >> 16) & 0o170000
            if kind not in (0, 0o100000, 0o040000):
                raise InputError(
                    f"expected files and folders in {archive.name}, found the link {info.filename!r}"
                )
            if info.flag_bits & 1:
                raise InputError(
                    f"expected readable files in {archive.name}, found an encrypted one: unpack it"
                )
            check_name(info.filename, archive.name)
        for info in infos:
            if not info.is_dir():
                with opened.open(info) as stream:
                    yield Member(info.filename, max(1, info.compress_size), stream)


def _tar_members(archive: Path) -> Iterator[Member]:
    with tarfile.open(archive, "r:*") as opened:
        for info in opened:
            if not (info.isreg() or info.isdir()):
                raise InputError(
                    f"expected files and folders in {archive.name}, found a link or device {info.name!r}"
                )
            check_name(info.name, archive.name)
            stream = opened.extractfile(info) if info.isreg() else None
            if stream is not None:
                yield Member(info.name, 0, stream)


def _gzip_member(archive: Path) -> Iterator[Member]:
    with gzip.open(archive) as stream:
        yield Member(archive.name.removesuffix(".gz"), archive.stat().st_size, stream)


def check_name(name: str, archive: str) -> PurePosixPath:
    """A member's name as a path that stays inside.

    Raises:
        InputError: absolute, upwards, or not a name at all.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    outside = path.is_absolute() or ".." in path.parts or (path.parts and path.parts[0].endswith(":"))
    if outside or any(ord(letter) < 32 for letter in name):
        raise InputError(
            f"expected paths inside of the folder in {archive}, found {name!r}: it is not unpacked"
        )
    return path


def _place(folder: Path, name: str, strip: str, archive: str) -> Path | None:
    """Where a member goes; None for litter."""
    path = check_name(name, archive)
    if str(path).startswith(LITTER[0]) or path.name == LITTER[1] or not path.parts:
        return None
    top = PurePosixPath(strip)
    if strip and path.is_relative_to(top):
        path = path.relative_to(top)
    return folder.joinpath(*path.parts) if path.parts else None


def _write(member: Member, path: Path, room: int, archive: str, stop: threading.Event | None) -> int:
    """One member to disk, as long as it stays within its limits; returns its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    most = max(FREE, RATIO * member.packed) if member.packed else room
    done = 0
    with path.open("wb") as file:
        while chunk := member.stream.read(CHUNK):
            done += len(chunk)
            if done > room:
                raise InputError(f"expected less in {archive}, found more than its limit: it is not unpacked")
            if done > most:
                raise InputError(
                    f"expected less in {archive}, found {member.name!r} growing over {RATIO} times: a bomb"
                )
            if stop is not None and stop.is_set():
                raise Stopped
            file.write(chunk)
    return done
