"""Opening archives without trusting them.

Refused: paths outside of the folder, absolute paths, links, devices, encrypted members, and archives that grow
beyond a limit. Names are checked before a byte is written, sizes while writing: what an archive says about
itself is not believed. Permissions and owners are not taken over.
"""

import errno
import gzip
import lzma
import struct
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Self

from stremn.acquire.download import Stopped
from stremn.errors import InputError, short_reason
from stremn.listing import is_litter

CHUNK = 1 << 20  # bytes read at a time
RATIO = 200  # a member may grow by this much …
FREE = 16 << 20  # … once it is larger than this, in bytes
MEMBERS = 2_000_000
BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    gzip.BadGzipFile,
    EOFError,
    NotImplementedError,
    ValueError,
    OverflowError,
    struct.error,
    RuntimeError,
    MemoryError,
)
DAMAGE = (
    None,
    errno.EINVAL,
    errno.ENAMETOOLONG,
    errno.EILSEQ,
)  # of what an archive says, not of this machine
LONG_HEADS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
Member = tuple[str, int, IO[bytes]]  # name in the archive, packed bytes (0: not known), content


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
        for count, (name, packed, content) in enumerate(_members(archive, folder), start=1):
            if count > MEMBERS:
                raise InputError(f"expected at most {MEMBERS} files in {archive.name}, found more")
            inner = _inner_path(name, archive.name)
            if inner.is_relative_to(strip):
                inner = inner.relative_to(strip)
            if not inner.parts or any(is_litter(part) for part in inner.parts):
                continue
            path = folder / inner
            path.parent.mkdir(parents=True, exist_ok=True)
            written += _write(content, path, packed, limit - written, archive.name, stop)
    except InputError:
        raise
    except BROKEN as error:
        raise _damaged(archive, error) from None
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise InputError(f"expected files and folders of different names in {archive.name}") from None
    except OSError as error:
        if error.errno not in DAMAGE:  # a full disk is no fault of the archive
            raise
        raise _damaged(archive, error) from None
    return written


def _damaged(archive: Path, error: Exception) -> InputError:
    return InputError(
        f"expected a whole archive {archive.name}, found a damaged one ({short_reason(error)}): get it again"
    )


class _Head(tarfile.TarInfo):
    """A member's head; one that is followed by megabytes of names, which would all be read at once, is refused."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        head = super().frombuf(buf, encoding, errors)
        if head.type in LONG_HEADS and head.size > CHUNK:
            raise InputError(f"expected short heads in the archive, found one of {head.size} bytes: a bomb")
        return head


def _members(archive: Path, folder: Path) -> Iterator[Member]:
    """The files of an archive, each with its content opened."""
    if archive.name.endswith(".zip"):
        return _zip_members(archive)
    if archive.name.endswith((".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")):
        return _tar_members(archive, folder)
    if archive.name.endswith(".gz"):
        return _gzip_member(archive)
    raise InputError(f"expected a zip or tar archive, found {archive.name}: unpack it by hand")


def _zip_members(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():  # all of them before the first byte is written
            kind = (info.external_attr >> 16) & 0o170000
            if kind not in (0, 0o100000, 0o040000):
                raise InputError(
                    f"expected files and folders in {archive.name}, found the link {info.filename!r}"
                )
            if info.flag_bits & 1:
                raise InputError(
                    f"expected readable files in {archive.name}, found an encrypted one: unpack it"
                )
            _inner_path(info.filename, archive.name)
        for info in opened.infolist():
            if not info.is_dir():
                with opened.open(info) as content:
                    yield info.filename, max(1, info.compress_size), content


def _tar_members(archive: Path, folder: Path) -> Iterator[Member]:
    with tarfile.open(archive, "r:*", tarinfo=_Head) as opened:
        for info in opened:
            try:
                tarfile.data_filter(info, str(folder))
                good = info.isreg() or info.isdir()  # the filter lets links pass that stay inside
                good = good and not info.issparse()  # holes that an archive says how large they are
            except tarfile.FilterError:
                good = False
            if not good:
                raise InputError(
                    f"expected files and folders inside of the folder in {archive.name}, found {info.name!r}, "
                    "a link or device or outside: it is not unpacked"
                )
            content = opened.extractfile(info)
            if content is not None:
                yield info.name, 0, content


def _gzip_member(archive: Path) -> Iterator[Member]:
    with gzip.open(archive) as content:
        yield archive.name.removesuffix(".gz"), archive.stat().st_size, content  # type: ignore[misc]


def _inner_path(name: str, archive: str) -> PurePosixPath:
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


def _write(
    content: IO[bytes], path: Path, packed: int, room: int, archive: str, stop: threading.Event | None
) -> int:
    """One member to disk, as long as it stays within its limits; returns its bytes."""
    most = max(FREE, RATIO * packed) if packed else room
    done = 0
    with path.open("wb") as file:
        while chunk := content.read(CHUNK):
            done += len(chunk)
            if done > room:
                raise InputError(f"expected less in {archive}, found more than its limit: it is not unpacked")
            if done > most:
                raise InputError(
                    f"expected less in {archive}, found {path.name!r} growing over {RATIO} times: a bomb"
                )
            if stop is not None and stop.is_set():
                raise Stopped
            file.write(chunk)
    return done
