"""The page of ``stremn mask``: one frame of a video and the drawing on it."""

from pathlib import Path
from typing import Any

from stremn.data.clips import read_mask, without_void
from stremn.data.mask_colours import palette
from stremn.explore.asked import DRAWING, Answer, Asked, joined
from stremn.explore.drawing import Drawing, names_in
from stremn.explore.folder import Folder
from stremn.explore.pictures import pictures
from stremn.figures.browser import COLOURS


class Masker(Asked):
    """Draw the first mask of a video.

    Args:
        drawing: of the video.
        frame: that is shown first.
    """

    _esm = joined("core", *DRAWING, "masker")

    def __init__(self, drawing: Drawing, frame: int = 0, **options: Any) -> None:
        super().__init__(drawing, **options)
        self.drawing, self.frame = drawing, frame
        drawing.tell = lambda message: self.send(message)

    def _ask_hello(self, content: dict[str, Any], buffers: list[Any]) -> Answer:
        pictures = self.drawing.pictures
        height, width = pictures.size
        return {
            "video": pictures.name,
            "frames": len(pictures),
            "frame": self.frame,
            "height": height,
            "width": width,
            "colours": COLOURS,
            "objects": ["#" + bytes(colour).hex() for colour in palette()[1:255].tolist()],
        }, []


def masker(video: Path | str, out: Path | str, *, folder: Path | str, frame: int = 0) -> Masker:
    """The page of a video.

    Args:
        video: a video file or a folder of images.
        out: file of the mask; one that is there is the drawing of ``frame``.
        folder: files are written there and below, or to ``out``.
        frame: that is shown first.
    """
    video, out = Path(video), Path(out)
    given = {frame: without_void(read_mask(out))} if out.exists() else None
    names = names_in(out) if given else None
    place = Folder(Path(folder).resolve(), (out,))
    shown = pictures(video, without=[out])
    return Masker(Drawing(shown, place, out, video=video, given=given, names=names), frame)
