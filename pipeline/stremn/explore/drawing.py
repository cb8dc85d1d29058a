"""Masks that are drawn in the browser: kept, guessed, written as files that ``stremn segment --mask`` reads.

H W pixels.
"""

import re
import shlex
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from stremn.data.clips import Pixels, write_mask
from stremn.errors import InputError
from stremn.explore.asked import Answer
from stremn.explore.folder import Folder
from stremn.explore.pictures import Pictures
from stremn.figures import browser as images
from stremn.files import replacing
from stremn.segmenting.first_guess import first_guess

LARGEST = 4096  # pixels of the longer side of the frame that is drawn on
NAMES = "Description"  # of the texts that a PNG may hold: "1: dog, 2: ball"


class Drawing:
    """The drawn masks of a video.

    Args:
        pictures: the video.
        folder: where files are written.
        out: file of the first mask.
        video: the video's path, for the equivalent command.
        given: frame → ids (H, W) to start from.
        names: of objects.

    Attributes:
        masks: frame → ids, uint8 (H, W), as they are drawn now.
        tell: called with what every tab should know.
    """

    def __init__(
        self,
        pictures: Pictures,
        folder: Folder,
        out: Path,
        *,
        video: Path | None = None,
        given: Mapping[int, Pixels] | None = None,
        names: Mapping[int, str] | None = None,
    ) -> None:
        self.pictures, self.folder, self.out, self.video = pictures, folder, out, video
        self.masks: dict[int, Pixels] = {
            frame: np.array(ids, np.uint8) for frame, ids in (given or {}).items()
        }
        self.names = dict(names or {})
        self.tell: Callable[[dict[str, Any]], None] = lambda _: None
        self._written: set[Path] = set()

    @classmethod
    def here(cls, pictures: Pictures, folder: Folder | None = None, video: Path | None = None) -> "Drawing":
        """A drawing that is written to a folder, the present one by default, as ``<video>_mask.png``."""
        folder = folder or Folder(Path.cwd().resolve())
        return cls(pictures, folder, folder.root / f"{Path(pictures.name).stem}_mask.png", video=video)

    def drawn(self) -> dict[int, Pixels]:
        """Frame → ids of those frames on which something is drawn, in order."""
        return {frame: self.masks[frame] for frame in sorted(self.masks) if self.masks[frame].any()}

    def command(self, files: Mapping[int, Path]) -> str | None:
        """The command that segments the video from written masks; None for frames that are no file."""
        if self.video is None:
            return None
        start = min(files)
        named = [
            self.folder.name(path) if frame == start else f"{frame}:{self.folder.name(path)}"
            for frame, path in files.items()
        ]
        words = ["stremn", "segment", self.folder.name(self.video)]
        words += ["--start", str(start)] if start else []
        words += [word for name in named for word in ("--mask", name)]
        return shlex.join([*words, "--out", f"results/{self.video.stem}"])

    def _ask_picture(self, content: dict[str, Any], buffers: list[Any]) -> Answer:
        """A frame to draw on. Buffer: JPEG."""
        return {}, [images.jpeg(self.pictures[int(content["frame"])], LARGEST, 92)]

    def _ask_drawing(self, content: dict[str, Any], buffers: list[Any]) -> Answer:
        """What is drawn on a frame. Buffer: uint8 ids (H, W), empty where nothing is."""
        ids = self.masks.get(int(content["frame"]))
        names = {str(number): name for number, name in self.names.items()}
        fields = {"names": names, "file": self.folder.name(self.out), "frames": list(self.drawn())}
        return fields, [b"" if ids is None else ids.tobytes()]

    def _ask_drawn(self, content: dict[str, Any], buffers: list[Any]) -> Answer:
        """Keep what is drawn on a frame. Buffer: uint8 ids (H, W)."""
        frame = int(content["frame"])
        self.masks[frame] = np.frombuffer(buffers[0], np.uint8).reshape(self.pictures.size).copy()
        self.names = {int(number): _plain(name) for number, name in content["names"].items()}
        self.tell({"tell": "drawn", "frame": frame, "view": content.get("view")})
        return {}, []

    def _ask_guess(self, content: dict[str, Any], buffers: list[Any]) -> Answer:
        """Where an object may be, from a box and clicks in pixels. Buffer: uint8 (H, W), 1 inside."""
        box = content.get("box")
        found = first_guess(
            self.pictures[int(content["frame"])],
            None if box is None else tuple(map(float, box)),  # type: ignore[arg-type]
            [(float(x), float(y)) for x, y in content["inside"]],
            [(float(x), float(y)) for x, y in content["outside"]],
        )
        return {}, [found.astype(np.uint8).tobytes()]

    def _ask_save_mask(self, content: dict[str, Any], buffers: list[Any]) -> Answer:
        """Write all drawn masks; or name the files that are there already, and write nothing."""
        drawn = self.drawn()
        if not drawn:
            raise InputError("expected an object on a frame, found nothing drawn: draw one first")
        target = self._target(str(content["file"]))
        first = min(drawn)
        files = {
            frame: target if frame == first else target.with_name(f"{target.stem}-{frame}.png")
            for frame in drawn
        }
        save = {path: partial(self._save_mask, drawn[frame]) for frame, path in files.items()}
        return self._write(save, bool(content.get("replace")), self.command(files))

    def _ask_save_frame(self, content: dict[str, Any], buffers: list[Any]) -> Answer:
        """Write a frame as PNG beside the mask; or name the file that is there already."""
        frame = int(content["frame"])
        picture = Image.fromarray(self.pictures[frame])
        stem = Path(self.pictures.name).stem
        path = self._target(str(content["file"])).with_name(f"{stem}-frame-{frame}.png")
        save = {path: lambda scratch: picture.save(scratch, format="PNG")}
        return self._write(save, bool(content.get("replace")))

    def _target(self, name: str) -> Path:
        if not name.strip():
            raise InputError("expected a file name for the mask, found none: type one, such as first.png")
        path = self.folder.path(name.strip())
        if path.suffix.lower() != ".png":
            raise InputError(f"expected a name that ends in .png, found {name}: masks are PNG files")
        return path

    def _write(
        self, files: Mapping[Path, Callable[[Path], Any]], replace: bool, command: str | None = None
    ) -> Answer:
        there = [self.folder.name(path) for path in files if path.exists() and path not in self._written]
        if there and not replace:
            return {"exists": there}, []
        for path, save in files.items():
            try:
                with replacing(path) as scratch:
                    save(scratch)
            except OSError as error:
                raise InputError(f"expected to write {path}, could not: {error.strerror or error}") from None
            self._written.add(path)
        return {"files": [self.folder.name(path) for path in files], "command": command}, []

    def _save_mask(self, ids: Pixels, path: Path) -> None:
        """A palette PNG (index: id) that says how its objects are named."""
        write_mask(path, ids)
        text = ", ".join(
            f"{number}: {name}" for number, name in sorted(self.names.items()) if (ids == number).any()
        )
        if text:
            info = PngInfo()
            info.add_itxt(NAMES, text)
            with Image.open(path) as image:
                image.load()
            image.save(path, format="PNG", pnginfo=info)


def _plain(name: Any) -> str:
    """A name that can stand in a list."""
    return " ".join(str(name).replace(",", " ").split())[:60]


def names_in(path: Path) -> dict[int, str]:
    """The names of objects that a mask was written with; none in other files."""
    with Image.open(path) as image:
        image.load()
        text = str(getattr(image, "text", {}).get(NAMES, ""))
    return {int(number): name for number, name in re.findall(r"(\d+): ([^,]+)", text)}
