"""Submission archives for benchmarks whose ground truth only their servers have.

What the servers take, as their pages describe it and as published code packs it:

- DAVIS 2017 test-dev: one folder for each of the 30 sequences at the top of the archive, in it every frame
  of the sequence at 480p as ``<frame>.png``, a palette PNG whose index is the object id.
- YouTube-VOS 2018 and 2019, validation: the same below one folder ``Annotations``, 474 and 507 videos; of
  each video the frames of ``meta.json`` (6 frames a second), from the first frame that shows an object.

Assumed: other entries in an archive are not welcome, so that frames which the benchmark does not ask for
(between those at 6 frames a second) are left out; an id that the benchmark does not give is an error.
"""

import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stremn.data.clips import read_stored_ids
from stremn.data.official.youtube_meta import Objects, read_meta
from stremn.data.pictures import decoded
from stremn.errors import InputError
from stremn.evaluation.folders import mask_files, result_folder
from stremn.evaluation.names import read_names
from stremn.files import replacing
from stremn.listing import files_in, folders_in


@dataclass(frozen=True)
class Benchmark:
    """top: folder of the archive that holds the sequences, or none. sequences: how many there are."""

    name: str
    top: str
    sequences: int


BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark("davis2017-test-dev", "", 30),
        Benchmark("youtube-vos2018", "Annotations/", 474),
        Benchmark("youtube-vos2019", "Annotations/", 507),
    )
}


@dataclass(frozen=True)
class Expected:
    """What a benchmark wants of one sequence; None where the reference does not say.

    frames: file stems, sorted. size: (width, height). ids: the objects.
    """

    frames: tuple[str, ...] | None = None
    size: tuple[int, int] | None = None
    ids: frozenset[int] | None = None


def get_benchmark(name: str) -> Benchmark:
    """The benchmark of that name; InputError names the choices."""
    if name not in BENCHMARKS:
        raise InputError(f"unknown benchmark {name!r}: expected one of {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]


def read_reference(path: Path) -> dict[str, Expected]:
    """What is wanted of each sequence, from a YouTube-VOS ``meta.json`` or a DAVIS ImageSets file.

    Frames and sizes come from ``JPEGImages``, ids from the given masks in ``Annotations``, where the
    dataset lies around the file as it is published.
    """
    if path.suffix.lower() == ".json":
        return {name: _from_meta(path.parent, name, objects) for name, objects in read_meta(path).items()}
    if not path.is_file():
        raise InputError(f"expected an ImageSets file or a meta.json at {path}, found no file")
    root = path.resolve().parent.parent.parent
    return {name: _from_davis(root, name) for name in read_names(str(path))}


def _from_meta(root: Path, name: str, objects: Objects) -> Expected:
    frames = sorted({frame for one in objects.values() for frame in one.frames})
    picture = root / "JPEGImages" / name / f"{frames[0]}.jpg"
    return Expected(tuple(frames), _size(picture) if picture.is_file() else None, frozenset(objects))


def _from_davis(root: Path, name: str) -> Expected:
    pictures = files_in(root / "JPEGImages" / "480p" / name, (".jpg", ".jpeg"))
    if not pictures:
        return Expected()
    mask = root / "Annotations" / "480p" / name / f"{pictures[0].stem}.png"
    ids = frozenset(range(1, int(read_stored_ids(mask).max(initial=0)) + 1)) if mask.is_file() else None
    return Expected(tuple(picture.stem for picture in pictures), _size(pictures[0]), ids)


def _size(path: Path) -> tuple[int, int]:
    """(width, height), as stored."""
    return decoded(path, lambda file: file.size)


def checked_files(
    predictions: Path, benchmark: Benchmark, reference: Mapping[str, Expected] | None = None
) -> Iterator[tuple[str, Path]]:
    """(name in the archive, file) of everything that belongs into the archive, each checked before.

    InputError: a missing sequence or frame, a sequence that the benchmark has not, a PNG that is not a
    palette PNG, of another size, with an unknown id, or damaged.
    """
    for name, wanted in _sequences(predictions, benchmark, reference).items():
        paths = _frames(result_folder(predictions, name), wanted)
        size = wanted.size or _size(paths[0])
        for path in paths:
            _check_file(path, size, wanted)
            yield f"{benchmark.top}{name}/{path.stem}.png", path


def pack(files: Iterator[tuple[str, Path]], out: Path, progress: Callable[[], object] = lambda: None) -> int:
    """Write the archive; the same files give the same bytes. Returns how many files it holds.

    On an error nothing stays behind. Stored, not compressed again: PNG files do not shrink.
    """
    number = 0
    with replacing(out) as scratch, zipfile.ZipFile(scratch, "w", zipfile.ZIP_STORED) as archive:
        for name, path in files:
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, path.read_bytes())
            number += 1
            progress()
    return number


def _sequences(
    predictions: Path, benchmark: Benchmark, reference: Mapping[str, Expected] | None
) -> dict[str, Expected]:
    present = folders_in(predictions)
    if not present:
        raise InputError(f"{predictions}: expected a folder for each sequence, found none")
    if present == ["Annotations"]:
        raise InputError(
            f"{predictions}: expected a folder for each sequence, found only Annotations: give "
            f"{predictions / 'Annotations'}"
        )
    if reference is None:
        if len(present) != benchmark.sequences:
            raise InputError(
                f"{predictions}: expected the {benchmark.sequences} sequences of {benchmark.name}, found "
                f"{len(present)}; --reference says which are missing"
            )
        return {name: Expected() for name in present}
    for names, what in (
        (sorted(set(reference) - set(present)), "expected a folder for every sequence, missing"),
        (sorted(set(present) - set(reference)), f"expected sequences of {benchmark.name} only, found"),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise InputError(f"{predictions}: {what} {names[0]}{more}")
    return dict(sorted(reference.items()))


def _frames(folder: Path, wanted: Expected) -> list[Path]:
    masks = mask_files(folder)
    if wanted.frames is None:
        if not masks:
            raise InputError(f"{folder}: expected frames (*.png), found none")
        return list(masks.values())
    missing = [frame for frame in wanted.frames if frame not in masks]
    if missing:
        raise InputError(
            f"expected a mask at {folder / missing[0]}.png, found no file ({len(missing)} of "
            f"{len(wanted.frames)} frames of {folder.name} are missing)"
        )
    return [masks[frame] for frame in wanted.frames]


def _check_file(path: Path, size: tuple[int, int], wanted: Expected) -> None:
    ids = read_stored_ids(path)
    found, mode = decoded(path, lambda file: (file.format, file.mode))
    if (found, mode) != ("PNG", "P"):
        raise InputError(f"{path}: expected a palette PNG (mode P), found {found} of mode {mode}")
    if ids.shape != size[::-1]:
        raise InputError(f"{path}: expected {size[0]}×{size[1]} pixels, found {ids.shape[1]}×{ids.shape[0]}")
    highest = int(ids.max(initial=0))
    known = frozenset(range(255)) if wanted.ids is None else wanted.ids | {0}
    if highest and not known.issuperset(range(1, highest + 1)):
        unknown = sorted({int(value) for value in set(ids.ravel().tolist())} - known)
        if unknown:
            raise InputError(
                f"{path}: unknown id {unknown[0]}, expected {', '.join(map(str, sorted(known)[:12]))}"
            )
