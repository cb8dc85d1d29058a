"""YouTube-VOS's G: J and F over the objects of classes that training has seen, and over those of other classes.

G is the mean of J-Seen, F-Seen, J-Unseen and F-Unseen; each is a mean over objects, as in DAVIS (the benchmark's
server has 65 seen and 26 unseen classes). Which object has which class stands in ``meta.json``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stremn.data.official.youtube_meta import Objects, read_meta
from stremn.errors import InputError
from stremn.evaluation.statistics import average
from stremn.evaluation.vos import VOSScores
from stremn.listing import read_lines

Videos = Mapping[str, Objects]
COLUMNS = ("G", "J-Seen", "F-Seen", "J-Unseen", "F-Unseen")


@dataclass(frozen=True)
class Classes:
    """categories: ``"<sequence>_<id>"`` of every object of the scored sequences to its category.

    seen: the categories of the training set. meta, source: the files that both were read from, for messages.
    """

    categories: Mapping[str, str]
    seen: frozenset[str]
    meta: str
    source: str


@dataclass(frozen=True)
class Group:
    """Objects of one group: their names, how many classes they have, and the means of the official columns."""

    objects: tuple[str, ...]
    classes: int
    row: Mapping[str, float]


@dataclass(frozen=True)
class SeenUnseen:
    """Both groups, None where there is no object. reason: why there is no G; empty where there is."""

    seen: Group | None = None
    unseen: Group | None = None
    reason: str = ""
    categories: Mapping[str, str] = field(default_factory=dict)
    source: str = ""

    def values(self) -> dict[str, float | None]:
        """G and its four parts in [0, 1], by the names of ``COLUMNS``; None where there is no object."""
        rows = [group.row if group else {} for group in (self.seen, self.unseen)]
        parts = [row.get(column) for row in rows for column in ("J-Mean", "F-Mean")]
        known = [part for part in parts if part is not None]
        overall = sum(known) / 4 if len(known) == 4 else None
        return dict(zip(COLUMNS, [overall, *parts], strict=True))

    def to_dict(self) -> dict[str, Any]:
        """JSON form: the values, the group and category of every object, and ``reason`` where there is no G."""
        seen = set(self.seen.objects) if self.seen else set()
        objects = {name: {"category": c, "seen": name in seen} for name, c in self.categories.items()}
        return {**self.values(), **({"reason": self.reason} if self.reason else {}), "objects": objects}


def find_classes(
    annotations: Path, names: Sequence[str], meta: Path | None = None, seen: Path | None = None
) -> Classes | str:
    """The classes of the objects of some sequences, or one line that says why they are not known.

    Args:
        annotations: folder of the true masks, in the official layout ``<root>/valid/Annotations``.
        names: the sequences.
        meta: meta.json of the annotations; None looks beside the annotations.
        seen: categories of the training set, one a line, or its meta.json; None looks for
            ``<root>/train/meta.json``, if that is not the annotations' own.

    Raises:
        InputError: a given file that is missing or damaged, or that does not fit the other.
    """
    beside = annotations.absolute().parent
    path = meta or beside / "meta.json"
    source = seen or beside.parent / "train" / "meta.json"
    if meta is None and not path.is_file():
        return f"no meta.json beside {annotations}; --meta FILE names one"
    try:
        videos = read_meta(path, complete=False)
        categories = _categories(videos, path, names)
        if categories is None:
            return f"{path} has no categories for all objects; --meta FILE names another"
        if seen is None and (not source.is_file() or source.resolve() == path.resolve()):
            return "the classes of the training set are not known; --seen FILE lists them"
        known = read_seen(source)
        _check_overlap(videos, path, source, known)
    except InputError as error:
        if meta or seen:
            raise
        return str(error)
    return Classes(categories, known, str(path), str(source))


def read_seen(path: Path) -> frozenset[str]:
    """Categories from a text file, one a line, or from a meta.json. InputError: none in it, or no such file."""
    if path.suffix.lower() == ".json":
        objects = [one for video in read_meta(path, complete=False).values() for one in video.values()]
        found = frozenset(one.category for one in objects if one.category)
    else:
        found = frozenset(read_lines(path))
    if not found:
        raise InputError(
            f"expected the categories of the training set in {path}, found none: give a list with one a line, or "
            "the meta.json of train"
        )
    return found


def seen_unseen(scores: VOSScores, classes: Classes) -> SeenUnseen:
    """Means over the objects of seen and of unseen classes.

    InputError: an object that only the annotations have, or only meta.json.
    """
    scored = set(scores.per_frame)
    strange = sorted(scored - set(classes.categories))
    if strange:
        name, _, number = strange[0].rpartition("_")
        raise InputError(
            f"expected object {number} of sequence {name}, which is annotated, in {classes.meta}, found none: "
            "give the meta.json that belongs to the annotations"
        )
    gone = {name for name in classes.categories if name.rpartition("_")[0] in scores.left_out}
    lost = sorted(set(classes.categories) - scored - set(scores.skipped) - gone)
    if lost:
        name, _, number = lost[0].rpartition("_")
        raise InputError(
            f"expected object {number} of sequence {name}, which {classes.meta} has, in the annotations, found "
            "none: give the meta.json that belongs to them"
        )
    categories = {name: classes.categories[name] for name in scores.objects}
    groups = [
        _group(scores, {n: c for n, c in categories.items() if (c in classes.seen) is wanted})
        for wanted in (True, False)
    ]
    reason = ""
    if None in groups:
        reason = f"no scored object is of {'a seen' if groups[0] is None else 'an unseen'} class"
    return SeenUnseen(groups[0], groups[1], reason, categories, classes.source)


def _group(scores: VOSScores, categories: Mapping[str, str]) -> Group | None:
    if not categories:
        return None
    row = average([scores.objects[name] for name in categories])
    return Group(tuple(categories), len(set(categories.values())), row)


def _categories(videos: Videos, path: Path, names: Sequence[str]) -> dict[str, str] | None:
    """Category of every object of these sequences; None where one has no category."""
    lost = [name for name in names if name not in videos]
    if lost:
        raise InputError(
            f"expected the sequence {lost[0]} in {path}, found none ({len(lost)} missing): give the meta.json that "
            "belongs to the annotations"
        )
    found = {f"{name}_{n}": one.category for name in names for n, one in videos[name].items()}
    known = {name: category for name, category in found.items() if category is not None}
    return known if len(known) == len(found) else None


def _check_overlap(videos: Videos, path: Path, source: Path, known: frozenset[str]) -> None:
    """Lists that have nothing in common are of different datasets, or spelt differently."""
    ours = {one.category for objects in videos.values() for one in objects.values() if one.category}
    if ours and not ours & known:
        raise InputError(
            f"expected categories in {source} that {path} has too, such as {min(ours)}, found others, such as "
            f"{min(known)}: give the list that belongs to it"
        )
