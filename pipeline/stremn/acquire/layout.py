"""Comparing a folder with the official layout: what is missing, what is damaged, where it belongs."""

import os
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stremn.acquire.catalogue import Entry, Rule
from stremn.acquire.checks import CHECKED, damage
from stremn.errors import InputError
from stremn.files import load_json
from stremn.listing import counts, entries, files_in, folders_in, read_lines, read_list


@dataclass(frozen=True)
class Problem:
    """One fault of a dataset.

    Attributes:
        path: file or folder, below the dataset's.
        text: what was expected and what was found.
        essential: without it the dataset cannot be used at all.
    """

    path: str
    text: str
    essential: bool = False

    def __str__(self) -> str:
        return f"{self.path}: {self.text}"


def check(entry: Entry, folder: Path, files: bool = True) -> list[Problem]:
    """All faults of a dataset on disk.

    Args:
        entry: its entry in the catalogue.
        folder: where it lies; not changed.
        files: also look at the first and last bytes of every file.

    Returns:
        problems, those of the layout first; empty if there is none.
    """
    if not folder.is_dir():
        return [Problem(".", f"expected a folder {folder}", essential=True)]
    problems = list(dict.fromkeys(problem for rule in entry.layout for problem in _rule(rule, folder)))
    if files:
        checked = ((name, path) for name, path in files_below(folder) if path.suffix.lower() in CHECKED)
        problems += [Problem(name, f"damaged: {text}") for name, path in checked if (text := damage(path))]
    return problems


def require(entry: Entry, folder: Path) -> list[Problem]:
    """The faults of a usable dataset.

    Raises:
        InputError: an essential part is missing.
    """
    problems = check(entry, folder, files=False)
    essential = [p for p in problems if p.essential]
    if essential:
        inner = one_level_down(entry, folder)
        hint = (
            f"it is one folder further down: {inner}"
            if inner
            else f"`stremn data check {entry.name} --path {shlex.quote(str(folder))}` says all"
        )
        raise InputError(f"expected {entry.title} in {folder}, found {essential[0]}; {hint}")
    return problems


def usable(entry: Entry, folder: Path) -> bool:
    """Whether the main parts are there, complete or not."""
    return folder.is_dir() and all(rule.optional or _place(rule, folder).exists() for rule in entry.layout)


def one_level_down(entry: Entry, folder: Path) -> Path | None:
    """A folder inside, one level down, that has the layout when this one has not (a top folder too much)."""
    if not folder.is_dir():
        return None
    inner = (folder / name for name in folders_in(folder)[:50])
    return next((p for p in inner if usable(entry, p)), None)


def files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file below a folder that counts, by its relative name, sorted; links to folders are followed once."""
    top = os.path.realpath(folder)
    seen = {top}
    for here, folders, names in os.walk(top, followlinks=True):
        folders.sort()
        for name in list(folders):
            real = os.path.realpath(os.path.join(here, name))
            if not counts(name) or real in seen:
                folders.remove(name)
            elif os.path.islink(os.path.join(here, name)):
                seen.add(real)
        for name in sorted(filter(counts, names)):
            path = Path(here, name)
            yield path.relative_to(top).as_posix(), path


def _rule(rule: Rule, folder: Path) -> Iterator[Problem]:
    """Problems of one rule; a missing place gives one, not one per file in it."""
    place = _place(rule, folder)
    name = place.relative_to(folder).as_posix()
    if not place.exists():
        if not rule.optional:
            other = f" (or {rule.either})" if rule.either else ""
            yield Problem(name, f"missing{other}", essential=True)
        return
    if rule.lines is not None:
        yield from _count(name, "lines", rule.lines, len(_lines(place)))
    if rule.folders is not None:
        yield from _count(name, "folders", rule.folders, len(folders_in(place)))
    if rule.files is not None:
        found = sum(p.name.lower().endswith(rule.suffix.lower()) for p in files_in(place))
        yield from _count(name, f"files {rule.suffix}".strip(), rule.files, found)
    if rule.listed is not None:
        yield from _not_empty(place, name, _sequences(folder / rule.listed), f"listed in {rule.listed}")
    if rule.videos is not None:
        yield from _not_empty(place, name, _videos(folder / rule.videos), f"named in {rule.videos}")
    if rule.partner is not None:
        yield from _partners(place, name, folder / rule.partner, rule.partner)


def _place(rule: Rule, folder: Path) -> Path:
    """Where a rule's file or folder lies, or belongs."""
    names = [name for name in (rule.path, rule.either) if name and (folder / name).exists()]
    return folder / (names or [rule.path])[0]


def _count(name: str, what: str, expected: int, found: int) -> Iterator[Problem]:
    if found != expected:
        yield Problem(name, f"expected {expected} {what}, found {found}")


def _not_empty(place: Path, name: str, wanted: Iterable[str], why: str) -> Iterator[Problem]:
    """Each wanted sequence is a folder with something in it."""
    for sequence in wanted:
        folder = place / sequence
        if not folder.is_dir():
            yield Problem(f"{name}/{sequence}", f"missing, {why}")
        elif not entries(folder):
            yield Problem(f"{name}/{sequence}", f"an empty folder, {why}")


def _partners(place: Path, name: str, other: Path, other_name: str) -> Iterator[Problem]:
    """Each file of ``other``, or of its folders, has one of the same stem here; told per folder."""
    if not other.is_dir():
        return
    groups = [other / name for name in folders_in(other)] or [other]
    for group in groups:
        below = "" if group == other else group.name
        here = place / below
        have = {p.stem for p in entries(here)}
        wanted = files_in(group)
        lost = [p.stem for p in wanted if p.stem not in have]
        if lost:
            some = ", ".join(lost[:3]) + (", …" if len(lost) > 3 else "")
            path = "/".join(part for part in (name, below) if part)
            text = f"{len(lost)} of {len(wanted)} missing that {other_name} has: {some}"
            yield Problem(path, text)


def _lines(path: Path) -> list[str]:
    """Lines of a list; none where it is missing or no text (told elsewhere)."""
    try:
        return read_lines(path)
    except InputError:
        return []


def _sequences(path: Path) -> list[str]:
    """Names of sequences in a list; none where it is missing or has none (told elsewhere)."""
    return read_list(path) if _lines(path) else []


def _videos(path: Path) -> list[str]:
    """Names of the videos of a ``meta.json``; none where it is missing or unreadable (told elsewhere)."""
    try:
        return sorted(load_json(path)["videos"])
    except (OSError, ValueError, KeyError, TypeError):
        return []
