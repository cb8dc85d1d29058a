"""Files that a page may name: those in one folder, and what the command itself named."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from stremn.errors import InputError
from stremn.listing import counts

MOST_LISTED = 500


@dataclass(frozen=True)
class Folder:
    """A folder; nothing outside it, also not by a link, is opened, listed or written because a page asks for it.

    Attributes:
        root: resolved.
        named: other files that may be named, resolved.
    """

    root: Path
    named: Collection[Path] = ()

    def path(self, name: str) -> Path:
        """The file or folder of a name.

        Raises:
            InputError: outside the folder.
        """
        try:
            path = (self.root / name).resolve()
        except (OSError, ValueError, RuntimeError):
            path = self.root.parent
        if path not in self.named and not path.is_relative_to(self.root):
            raise InputError(
                f"expected a file in {self.root}, where the command was started, or below, found {name}: start it elsewhere"
            )
        return path

    def name(self, path: Path) -> str:
        """How a page names a file: from the folder where it lies in it."""
        return str(path.relative_to(self.root) if path.is_relative_to(self.root) else path)

    def listing(self, name: str) -> list[str]:
        """Names of what lies in a folder, other folders first and with a slash; none where it cannot be read."""
        place = self.path(name)
        try:
            inside = [path for path in sorted(place.iterdir()) if counts(path.name) and self._may(path)]
            folders = [f"{self.name(path)}/" for path in inside if path.is_dir()]
        except OSError:
            return []
        return (folders + [self.name(path) for path in inside if not path.is_dir()])[:MOST_LISTED]

    def _may(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self.root)
