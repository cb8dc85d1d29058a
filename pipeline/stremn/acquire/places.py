"""Where acquired things lie: ``data/raw/<name>``, and beside it what is kept about them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stremn.files import replacing
from stremn.fingerprint import of_values

KEPT = ".acquired"
PART = ".part"  # partial file
GOT = ".got.json"  # note beside a file that we fetched and accepted


@dataclass(frozen=True)
class Places:
    """Paths below one folder of raw data.

    Attributes:
        root: usually ``data/raw``.
        option: what a command that we tell a person needs to find it: nothing, or `` --root DIR``.
    """

    root: Path
    option: str = ""

    def folder(self, name: str) -> Path:
        """The dataset itself: a folder, or a link to one that is used in place."""
        return self.root / name

    def downloads(self, name: str) -> Path:
        """Archives and partial files; also where a person puts archives fetched by hand."""
        return self.root / KEPT / name

    def manifest(self, name: str) -> Path:
        """What was fetched: urls, sizes, hashes."""
        return self.root / KEPT / f"{name}.json"

    def index(self, name: str) -> Path:
        """Size and hash of each file when the dataset was got; written once, compared with later."""
        return self.root / KEPT / f"{name}.index"

    def seen(self, name: str, folder: Path) -> Path:
        """Size and hash of each file of ``folder`` when it was last read; saves reading it again."""
        return self.root / KEPT / f"{name}.{of_values(str(folder.resolve()))[:8]}.seen"

    def state(self, name: str) -> str:
        """In one word or two, for a list: here, in place, missing target, partly fetched, or a dash."""
        folder = self.folder(name)
        if folder.is_symlink():
            return "in place" if folder.exists() else "broken link"
        if folder.is_dir():
            return "here"
        downloads = self.downloads(name)
        some = downloads.is_dir() and any(p.is_file() and p.suffix != ".json" for p in downloads.iterdir())
        return "partly fetched" if some else "–"


def read_json(path: Path) -> dict[str, Any]:
    """A kept note; empty where there is none or it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a note, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as scratch:
        scratch.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
