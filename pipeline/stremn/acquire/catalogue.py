"""The catalogue of datasets and weights, ``acquire/catalogue.yaml``, as checked, frozen entries."""

from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Literal, Self

import yaml
from pydantic import field_validator, model_validator

from stremn.errors import InputError
from stremn.settings import Settings

CATALOGUE = Path(__file__).with_name("catalogue.yaml")
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
GIB = 1 << 30


class Arrays(Settings):
    """The one pickle of NumPy arrays in an archive that is kept, as safetensors.

    Attributes:
        path: in the archive, without ``strip``.
        sha256: of the pickle.
        name: of the safetensors file.
    """

    path: str
    sha256: str
    name: str


class File(Settings):
    """One file to fetch.

    Attributes:
        name: its name on disk.
        url: where it lies openly (http or https).
        drive: its Google Drive id, instead of ``url``.
        hub: its Hugging Face repository, instead of ``url``.
        package: ``name==version`` whose source archive it is in the package registry, instead of ``url``.
        size: bytes, exact, where published; another size is refused.
        about: size as a person reads it, where only that is known.
        sha256, sha1, md5: checksum where published; of ``sha256`` also only the first digits (at least 8).
        published_by: who published size and checksum.
        unpack: open the archive after fetching.
        strip: the archive's top folder that is left away.
        into: folder below the dataset's for this file's content.
        arrays: what alone is kept of the archive; then it is the entry's only file.
    """

    name: str
    url: str | None = None
    drive: str | None = None
    hub: str | None = None
    package: str | None = None
    size: int | None = None
    about: str | None = None
    sha256: str | None = None
    sha1: str | None = None
    md5: str | None = None
    published_by: str | None = None
    unpack: bool = False
    strip: str = ""
    into: str = ""
    arrays: Arrays | None = None

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        if not name or name != PurePosixPath(name).name or name.startswith("."):
            raise ValueError("a plain file name is expected")
        return name

    @field_validator("into", "strip")
    @classmethod
    def _below(cls, path: str) -> str:
        if path.startswith("/") or ".." in PurePosixPath(path).parts:
            raise ValueError("a path below the dataset's folder is expected")
        return path

    @field_validator("url")
    @classmethod
    def _web(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("http://", "https://")):
            raise ValueError("an http or https address is expected")
        return url

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if sum(source is not None for source in (self.url, self.drive, self.hub, self.package)) > 1:
            raise ValueError("one of url, drive, hub and package is expected")
        if self.package and len(self.sha256 or "") != 64:
            raise ValueError("a whole sha256 is expected beside a package")
        if self.unpack and not self.name.endswith((*ARCHIVES, ".gz")):
            raise ValueError(f"an archive is expected ({', '.join((*ARCHIVES, '.gz'))})")
        digits = {"sha256": 64, "sha1": 40, "md5": 32}
        for kind, found in self.checksums.items():
            whole = len(found) == digits[kind] or (kind == "sha256" and 8 <= len(found) < 64)
            if not whole or set(found) - set("0123456789abcdef"):
                raise ValueError(f"a {kind} in lower-case hexadecimal digits is expected")
        if (self.size or self.checksums) and not self.published_by:
            raise ValueError("published_by is expected beside a size or checksum")
        return self

    @property
    def checksums(self) -> dict[str, str]:
        """Published checksums by kind."""
        every = {"sha256": self.sha256, "sha1": self.sha1, "md5": self.md5}
        return {kind: value for kind, value in every.items() if value}


class Rule(Settings):
    """What must be found at one place of the unpacked dataset.

    Attributes:
        path: file or folder, below the dataset's.
        either: another place that is as good.
        optional: its absence is no fault.
        lines: lines of the (list) file, without empty ones.
        folders: folders directly inside.
        files: files directly inside, with ``suffix`` if given.
        suffix: such as ``.jpg``.
        listed: a list file; each of its sequences must be a folder here that is not empty.
        videos: a ``meta.json``; each of its videos must be a folder here that is not empty.
        partner: a folder; each of its files must have one of the same name (but for the suffix) here.
    """

    path: str
    either: str | None = None
    optional: bool = False
    lines: int | None = None
    folders: int | None = None
    files: int | None = None
    suffix: str = ""
    listed: str | None = None
    videos: str | None = None
    partner: str | None = None


class Entry(Settings):
    """One dataset or weight.

    Attributes:
        name: how commands call it, and its folder below ``data/raw``.
        title: its full name.
        kind: video, image, prediction or weights.
        uses: for which paper and stage.
        page: official page.
        how: open, google-drive, huggingface, registry (of packages) or form (registration, licence, or no direct link).
        files: what to fetch; for ``form`` the archives that a person fetches.
        limit_gib: the most that its unpacked files may take; an estimate of ours, with room.
        licence, citation: as published.
        layout: what must be there after unpacking.
        instructions: for ``form``: what a person does.
        note: what else to know after it was got.
    """

    name: str
    title: str
    kind: Literal["video", "image", "prediction", "weights"]
    uses: list[str]
    page: str
    how: Literal["open", "google-drive", "huggingface", "registry", "form"]
    files: list[File]
    limit_gib: float = 1.0
    licence: str
    citation: str
    layout: list[Rule]
    instructions: str = ""
    note: str = ""

    @property
    def size(self) -> int | None:
        """Bytes to fetch, if published for every file."""
        sizes = [file.size for file in self.files]
        return sum(s for s in sizes if s) if sizes and all(sizes) else None

    @property
    def limit(self) -> int:
        """Most bytes that unpacking may write."""
        return int(self.limit_gib * GIB)


def load(path: Path | None = None) -> dict[str, Entry]:
    """All entries by name, in the order of the file (without ``path`` the package's own).

    Raises:
        InputError: a key is missing or unknown, or a name appears twice.
    """
    path = path or CATALOGUE
    entries: dict[str, Entry] = {}
    for block in yaml.safe_load(path.read_text(encoding="utf-8")):
        entry = Entry.parse(block, f"{path.name}: {block.get('name', '?')}")
        if entry.name in entries:
            raise InputError(f"{path.name}: expected unique names, found {entry.name!r} twice")
        entries[entry.name] = entry
    return entries


def find(name: str) -> Entry:
    """The entry of a name; the error names the nearest one."""
    entries = load()
    if name in entries:
        return entries[name]
    low = name.lower()
    near = [one for one in entries if low in one] or get_close_matches(low, entries, n=1)
    hint = f"did you mean {' or '.join(map(repr, near[:3]))}? " if near else ""
    raise InputError(f"expected a name of the catalogue, found {name!r}: {hint}`stremn data list` shows all")
