"""Opening what the data stage prepared: each place holds a note of the dataset, generated or used where it lies."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from stremn import paths
from stremn.data.annotated import Clips, Images
from stremn.data.datasets import open_clips, open_images, open_videos
from stremn.data.videos import Videos
from stremn.errors import InputError
from stremn.files import load_json, replacing
from stremn.settings import Settings

SOURCE = "source.json"
T = TypeVar("T")


class Source(Settings):
    """A dataset in its own layout, used in place and never copied."""

    dataset: str
    """Entry of ``data.datasets.DATASETS``."""
    path: str | None = None
    """Where it lies, below the repository's root or absolute; None: where ``stremn data get`` puts it."""
    split: str | None = None
    """Which of its splits; None: the default one."""
    options: dict[str, Any] = {}
    """Keyword arguments of the function that opens it, see ``data.datasets``."""


def write_source(place: Path, source: Source, folder: Path | None = None, sha256: str = "") -> None:
    """Note at ``place`` that the data are those of ``source``.

    Args:
        folder: where they lie, absolute or below the repository's root; None: generated, ``place`` is the folder of
            the split, or of the whole dataset where it has none.
        sha256: of the content, so that what depends on the note runs again when the data have changed.
    """
    place.mkdir(parents=True, exist_ok=True)
    form = {
        **source.model_dump(include={"dataset", "split", "options"}),
        "folder": None if folder is None else str(folder),
        "sha256": sha256,
    }
    with replacing(place / SOURCE) as scratch:
        scratch.write_text(json.dumps(form, indent=1), encoding="utf-8")


def _opened(opener: Callable[..., T], place: Path) -> T:
    """The dataset noted at a place. Raises InputError when there is no note, or a damaged one."""
    path = place / SOURCE
    try:
        form = load_json(path)
        name, split, options = str(form["dataset"]), form["split"], dict(form["options"])
        own = place.parent if split else place
        folder = own if form["folder"] is None else paths.find_root(place) / form["folder"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"expected a dataset noted in {path}, found {error!r}: run the data stage again"
        ) from error
    return opener(name, folder, split, **options)


def clips(place: Path) -> Clips:
    """Annotated clips at a place of the data stage's output: one dataset, or several joined."""
    several = sorted(path.parent for path in place.glob(f"*/{SOURCE}"))
    if several:
        return Clips.join({part.name: clips(part) for part in several})
    return _opened(open_clips, place)


def images(place: Path) -> Images:
    """Images with masks at a place of the data stage's output: one dataset, or several joined."""
    several = sorted(path.parent for path in place.glob(f"*/{SOURCE}"))
    if several:
        return Images.join([images(part) for part in several])
    return _opened(open_images, place)


def videos(place: Path) -> Videos:
    """Videos for prediction at a place of the data stage's output."""
    return _opened(open_videos, place)
