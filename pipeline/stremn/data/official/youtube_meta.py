"""``meta.json`` of YouTube-VOS: which objects each video has, of which category, and where they are seen.

``{"videos": {<video>: {"objects": {<id>: {"category": …, "frames": [<frame>, …]}}}}}``. The categories are in
the file of train; that of valid has them in some releases.
"""

from dataclasses import dataclass
from pathlib import Path

from stremn.errors import InputError, short_reason
from stremn.files import load_json


@dataclass(frozen=True)
class MetaObject:
    """frames: names of the frames that show the object, as listed. category: None where the file has none."""

    frames: tuple[str, ...]
    category: str | None = None


Objects = dict[int, MetaObject]  # by id


def read_meta(path: Path, *, complete: bool = True) -> dict[str, Objects]:
    """Objects of every video.

    Args:
        complete: every video must have objects with ids 1 to 254, each with frames; without it they may lack.

    Raises:
        InputError: no such file, something else in it, or incomplete.
    """
    if not path.is_file():
        raise InputError(f"expected {path} of YouTube-VOS, found no such file: unpack it there")
    try:
        videos = load_json(path)["videos"]
        found = {str(name): _objects(video) for name, video in videos.items()}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as problem:
        raise InputError(
            f"expected the meta.json of YouTube-VOS, videos with their objects, in {path}, found something else "
            f"({type(problem).__name__}: {short_reason(problem)}): get the file again"
        ) from None
    for name, objects in found.items():
        if complete and not (objects and all(0 < n < 255 and one.frames for n, one in objects.items())):
            listed = ", ".join(f"{n} with {len(one.frames)}" for n, one in objects.items()) or "none"
            raise InputError(
                f"expected objects with ids 1 to 254, each with frames, of {name} in {path}, found {listed}: "
                "get the file again"
            )
    return found


def _objects(video: dict) -> Objects:
    return {
        int(number): MetaObject(tuple(str(f) for f in one.get("frames", ())), _category(one))
        for number, one in video.get("objects", {}).items()
    }


def _category(one: dict) -> str | None:
    return str(one.get("category") or "").strip() or None
