"""YouTube-VOS 2018 and 2019 (youtube-vos.org), as unpacked.

``<root>/<part>/meta.json``, ``<root>/<part>/Annotations/<video>/<frame>.png``, and the images twice:
``<root>/<part>/JPEGImages/<video>/<frame>.jpg`` with every 5th frame (6 a second) and, where downloaded,
``<root>/<part>_all_frames/JPEGImages`` with all (30 a second). The masks of train are of every 5th frame; of
valid and test there is each object's first mask alone, in the frame where it appears, which may be late.

``youtube_meta`` reads ``meta.json``, which names the objects of each video and the frames that show them.
"""

from pathlib import Path

from stremn.data.annotated import ClipFiles, Clips, Pair, frame_files, pair_up
from stremn.data.clips import IMAGES, MASKS
from stremn.data.official.youtube_meta import Objects, read_meta
from stremn.errors import InputError
from stremn.listing import folders_in

SPLITS = {  # part on disk, and which of its videos by place in the sorted list
    "train": ("train", lambda place: True),
    "train_fit": ("train", lambda place: place % 10 != 9),
    "train_held_out": ("train", lambda place: place % 10 == 9),
    "valid": ("valid", lambda place: True),
    "test": ("test", lambda place: True),
}


def open_youtube(
    root: Path | str,
    split: str = "train",
    *,
    all_frames: bool = False,
    cache: bool = False,
    limit: int | None = None,
) -> Clips:
    """Clips of YouTube-VOS; frames without a mask are void.

    Args:
        root: holds ``train``, ``valid`` and ``test``.
        split: one of them, or ``train_held_out`` (every tenth video of train, for scores that need no server)
            and ``train_fit`` (the others).
        all_frames: images at 30 a second in place of 6. Results differ: state which was used.
        cache: keep decoded clips in memory.
        limit: only the first videos by name.

    A clip's number of objects is the largest id in ``meta.json``, and objects may appear late. Raises
    InputError, naming the path, when ``meta.json`` cannot be read or names a video, frame or mask that is
    missing, and when there is a video that it does not name.
    """
    if split not in SPLITS:
        raise InputError(
            f"expected a split of {', '.join(SPLITS)} of YouTube-VOS, found {split!r}: choose one"
        )
    part, chosen = SPLITS[split]
    root = Path(root)
    images = root / (f"{part}_all_frames" if all_frames else part) / IMAGES
    masks = root / part / MASKS
    for folder in (images, masks):
        if not folder.is_dir():
            raise InputError(f"expected the folder {folder} of YouTube-VOS, found none: unpack it there")
    videos = read_meta(root / part / "meta.json")
    strange = sorted(set(folders_in(images)) - set(videos))
    if strange:
        raise InputError(
            f"expected videos that {root / part / 'meta.json'} names, found {images / strange[0]}: remove it"
        )
    names = [name for place, name in enumerate(sorted(videos)) if chosen(place)][:limit]
    files = [
        ClipFiles(
            name,
            _pairs(images, masks, name, videos[name], every=part == "train"),
            ids=sorted(videos[name]),
            keep=cache,
        )
        for name in names
    ]
    return Clips(root / part, files, masks)


def _pairs(images: Path, masks: Path, name: str, objects: Objects, every: bool) -> list[Pair]:
    """A video's files; masks must exist of every frame that shows an object, or of each one's first."""
    paths = frame_files(images / name)
    shown = [one.frames if every else sorted(one.frames)[:1] for one in objects.values()]
    needed = {frame for frames in shown for frame in frames}
    lost = sorted(needed - {path.stem for path in paths})
    if lost:
        raise InputError(
            f"expected the frame {images / name / lost[0]}.jpg, which meta.json names, found none "
            f"({len(lost)} missing in this video): unpack the images again"
        )
    return pair_up(paths, masks / name, lambda _, image: image.stem in needed)
