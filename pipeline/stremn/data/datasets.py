"""Every dataset by name: adding one is one function and one line in ``DATASETS``.

Names are those of ``catalogue.yaml``, so that what was acquired can be opened; hyphens do not count.

Three kinds: "clips" (``Clips``: VOS), "images" (``Images``: pre-training), "videos" (``Videos``:
prediction). Options are the keyword arguments of the function that the entry names.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

from stremn.data.annotated import Clips, Images
from stremn.data.folders import open_clip_folder, open_image_folder, open_walkers
from stremn.data.official.coco import open_coco
from stremn.data.official.cutouts import open_cutouts
from stremn.data.official.davis import open_davis
from stremn.data.official.human import open_human
from stremn.data.official.kth import open_kth
from stremn.data.official.long_videos import open_long_videos
from stremn.data.official.moving_mnist import open_moving_mnist
from stremn.data.official.pairs import LAYOUTS, open_fss, open_pairs
from stremn.data.official.video_file import open_video_file
from stremn.data.official.voc import open_sbd, open_voc
from stremn.data.official.youtube import open_youtube
from stremn.data.own_clips import open_own_clips
from stremn.data.videos import Videos
from stremn.errors import InputError, nearest


@dataclass(frozen=True)
class Dataset:
    """kind: clips, images or videos. open: a function of root, split and options."""

    kind: str
    open: Callable[..., Any]


DATASETS: dict[str, Dataset] = {
    "clips": Dataset("clips", open_clip_folder),
    "davis-2016": Dataset("clips", partial(open_davis, year=2016)),
    "davis-2017": Dataset("clips", open_davis),
    "davis-2017-test-dev": Dataset("clips", partial(open_davis, split="test-dev")),
    "youtube-vos-2018": Dataset("clips", open_youtube),
    "youtube-vos-2019": Dataset("clips", open_youtube),
    "long-videos": Dataset("clips", open_long_videos),
    "lvos": Dataset("clips", open_long_videos),
    "own-clips": Dataset("clips", open_own_clips),
    "images": Dataset("images", open_image_folder),
    **{name: Dataset("images", partial(open_pairs, name)) for name in LAYOUTS},
    "fss-1000": Dataset("images", open_fss),
    "coco": Dataset("images", open_coco),
    "sbd": Dataset("images", open_sbd),
    "pascal-voc": Dataset("images", open_voc),
    "cutouts": Dataset("images", open_cutouts),
    "kth": Dataset("videos", open_kth),
    "human36m": Dataset("videos", open_human),
    "moving-mnist": Dataset("videos", open_moving_mnist),
    "moving-mnist-generated": Dataset("videos", partial(open_moving_mnist, generated=True)),
    "walkers": Dataset("videos", open_walkers),
    "video-file": Dataset("videos", open_video_file),
}
"""``clips``, ``images``, ``walkers``: plain folders, as the data stage generates them. ``own-clips``: DAVIS's,
YouTube-VOS's or a plain layout, see ``own_clips``. ``cutouts``: a folder of RGBA pictures. ``video-file``: the root is
the file."""


def open_clips(name: str, root: Path | str, split: str | None = None, **options: Any) -> Clips:
    """Annotated clips of a dataset, for ``ClipSampler``, ``segment_folder`` and the evaluation.

    Args:
        name: entry of ``DATASETS``; root: where it lies; split: None for the set's default.

    Raises InputError for an unknown name (with the nearest), one of another kind, an unknown option, and
    whatever is wrong with the files.
    """
    return _open("clips", name, root, split, options)


def open_images(name: str, root: Path | str, split: str | None = None, **options: Any) -> Images:
    """Images with masks of a dataset, for ``ImageClipSampler``; raises as ``open_clips`` does."""
    return _open("images", name, root, split, options)


def open_videos(name: str, root: Path | str, split: str | None = None, **options: Any) -> Videos:
    """Videos of a dataset, for prediction; raises as ``open_clips`` does."""
    return _open("videos", name, root, split, options)


def names(kind: str) -> list[str]:
    """The datasets of a kind."""
    return [name for name, dataset in DATASETS.items() if dataset.kind == kind]


def _open(kind: str, name: str, root: Path | str, split: str | None, options: dict[str, Any]) -> Any:
    found = next((known for known in names(kind) if known.replace("-", "") == name.replace("-", "")), None)
    if found is None:
        hint = nearest(name, names(kind))
        raise InputError(f"expected a dataset of {kind} ({', '.join(names(kind))}), found {name!r}{hint}")
    function = DATASETS[found].open
    known = [p.name for p in signature(function).parameters.values() if p.kind == p.KEYWORD_ONLY]
    for option in options:
        if option not in known:
            raise InputError(f"expected an option of {found} ({', '.join(known)}), found {option!r}")
    arguments = {} if split is None else {"split": split}
    return function(Path(root), **arguments, **options)
