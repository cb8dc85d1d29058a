"""``stremn data``: what there is, getting it, and saying exactly what is missing."""

import shlex
import shutil
import textwrap
from pathlib import Path

from stremn.acquire import index, layout
from stremn.acquire.catalogue import NOT_PUBLISHED, Entry, find, load
from stremn.acquire.get import Outcome, get, there, use
from stremn.acquire.places import Places
from stremn.acquire.prepare import raw
from stremn.errors import InputError
from stremn.paths import find_root

SHOWN = 20  # problems of one dataset that are printed
USABLE = "the main parts are there: it can be used, but for what is named here"
WHERE = {"google-drive": "Google Drive", "huggingface": "Hugging Face", "form": "a form", "open": "open"}


def places_of(root: Path | None) -> Places:
    """The folder of raw data: the given one, or the project's ``data/raw``."""
    if root is None:
        return raw(find_root())
    folder = root.expanduser().resolve()
    if folder.exists() and not folder.is_dir():
        raise InputError(f"expected a folder of raw data at {root}, found a file: choose another --root")
    return Places(folder, f" --root {shlex.quote(str(root))}")


def catalogue_table(places: Places, width: int | None = None) -> str:
    """All entries: name, on disk, size, how to get it, licence, what for."""
    rows = [("name", "on disk", "to fetch", "from", "licence", "for")]
    rows += [
        (
            entry.name,
            _state(entry, places),
            size_text(entry),
            WHERE[entry.how],
            textwrap.shorten(entry.licence, 34, placeholder=" …"),
            "; ".join(entry.uses),
        )
        for entry in load().values()
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    most = width or shutil.get_terminal_size((160, 24)).columns
    lines = ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines = [line if len(line) <= most else line[: most - 1] + "…" for line in lines]
    return "\n".join([*lines, "", f"raw data: {places.root}"])


def size_text(entry: Entry) -> str:
    """What is to be fetched, as published; never a guess."""
    if not entry.files:
        return NOT_PUBLISHED
    if entry.size is not None:
        return human(entry.size)
    known = [human(file.size) if file.size else file.about for file in entry.files]
    return "about " + " + ".join(str(k) for k in known) if all(known) else NOT_PUBLISHED


def human(size: int) -> str:
    """Bytes as a person reads them, in powers of ten."""
    amount = float(size)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} GB"


def plan(names: list[str], places: Places) -> tuple[list[Entry], str]:
    """Entries of the names, and what would be fetched, for a person to agree to; empty for nothing."""
    entries = [find(name) for name in dict.fromkeys(names)]
    lines = [
        f"{entry.name}: size {size_text(entry)}; from {_source(entry)}; licence: {entry.licence}"
        for entry in entries
        if entry.how != "form" and there(entry, places) is None
    ]
    return entries, "\n".join(lines)


def fetch(
    entries: list[Entry], places: Places, workers: int, keep: bool, show: bool = True
) -> tuple[str, list[str]]:
    """Get entries; returns what to print, and the names that a person has to fetch by hand."""
    outcomes = get(entries, places, workers, keep, show=show)
    by_name = {entry.name: entry for entry in entries}
    blocks = [_told(outcome, by_name[outcome.name], places) for outcome in outcomes]
    return "\n".join(blocks), [o.name for o in outcomes if o.state == "missing"]


def link(name: str, places: Places, path: Path) -> str:
    """Use a dataset in place."""
    entry = find(name)
    problems = use(entry, places, path)
    text = f"{name}: {places.folder(name)} → {path.expanduser().resolve()}, used in place, read-only"
    some = f"  {_count(problems)}; {USABLE}:"
    return "\n".join([text, *([some] if problems else []), *_listed(problems)])


def check(name: str, places: Places, path: Path | None, full: bool = False) -> tuple[str, bool]:
    """Compare a dataset with its official layout.

    Returns:
        what to print, and whether all is well.
    """
    entry = find(name)
    if entry.how == "huggingface":
        found = there(entry, places)
        return (
            (f"{name}: {found}", True)
            if found
            else (f"{name}: missing. `stremn data get {name}{places.option}` gets it", False)
        )
    folder = path.expanduser() if path is not None else places.folder(name)
    if not folder.is_dir():
        gone = f", which is a link to {folder.readlink()}, where nothing is" if folder.is_symlink() else ""
        return f"{name}: missing, expected in {folder}{gone}\n{instructions(entry, places)}", False
    problems = layout.check(entry, folder)
    kept = index.read(places.index(name)) if path is None and not folder.is_symlink() else []
    told = {problem.path for problem in problems}
    problems += [p for p in index.compare(folder, kept, content=full) if p.path not in told]
    if not problems:
        return f"{name}: complete, {folder}", True
    essential = any(p.essential for p in problems)
    inner = layout.below(entry, folder) if essential else None
    hint = [f"  it seems to be one folder further down: {inner}"] if inner else []
    use = "main parts are missing, it cannot be used" if essential else USABLE
    advice = f"complete it from {entry.page}"
    if entry.how == "form":
        advice += f"; `stremn data get {name}{places.option}` shows how"
    elif kept:
        again = f"`stremn data get {name}{places.option}` gets it anew"
        advice = again if there(entry, places) is None else f"remove {folder}, then {again}"
    lines = [f"{name}: {_count(problems)} in {folder}; {use}", *_listed(problems), *hint, "  " + advice]
    return "\n".join(lines), False


def instructions(entry: Entry, places: Places) -> str:
    """A page that says how a person gets a dataset, where to put it, and under which terms."""
    lines = [f"  {entry.title}", f"  page: {entry.page}", f"  licence: {entry.licence}"]
    lines += [f"  please cite: {entry.citation}"]
    folder, again = places.folder(entry.name), entry.name + places.option
    if entry.how != "form":
        return "\n".join([*lines, f"  `stremn data get {again}` gets it ({WHERE[entry.how]})"])
    lines += [f"  {line}" for line in entry.instructions.rstrip().splitlines()]
    if entry.files:
        archives = " and ".join(file.name for file in entry.files)
        lines.append(f"  Put {archives} into {places.downloads(entry.name)}{_so_far(entry, places)}")
        lines.append(f"  and run `stremn data get {again}` again: it checks and unpacks them into {folder}.")
        lines.append("  Or unpack them yourself there.")
    else:
        lines.append(f"  It belongs into {folder}.")
    lines.append(f"  Already elsewhere on disk: `stremn data get {again} --use PATH`.")
    lines.append(f"  Then `stremn data check {again}` says what is missing or damaged. Expected there:")
    lines += [f"    {rule.path}{_amount(rule)}" for rule in entry.layout if not rule.listed]
    return "\n".join(lines)


def _amount(rule: layout.Rule) -> str:
    parts = []
    if rule.folders is not None:
        parts.append(f"{rule.folders} folders")
    if rule.files is not None:
        parts.append(f"{rule.files} files {rule.suffix}".strip())
    if rule.lines is not None:
        parts.append(f"{rule.lines} lines")
    if rule.optional:
        parts.append("optional")
    return f" ({', '.join(parts)})" if parts else ""


def _told(outcome: Outcome, entry: Entry, places: Places) -> str:
    if outcome.state == "missing":
        return f"{outcome.name}: not fetched, it is behind a form\n{instructions(entry, places)}"
    word = {"fetched": "got", "there": "is here, nothing fetched"}[outcome.state]
    note = f"\n  {entry.note}" if entry.note and outcome.state == "fetched" else ""
    return f"{outcome.name}: {word}: {outcome.text}{note}"


def _listed(problems: list[layout.Problem]) -> list[str]:
    lines = [f"  {problem}" for problem in problems[:SHOWN]]
    rest = len(problems) - SHOWN
    return [*lines, f"  … and {rest} more"] if rest > 0 else lines


def _count(problems: list[layout.Problem]) -> str:
    return f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"


def _source(entry: Entry) -> str:
    return entry.page if entry.how == "open" else f"{WHERE[entry.how]} ({entry.page})"


def _so_far(entry: Entry, places: Places) -> str:
    """Which archives a person has put there already, and which not; nothing where there is none yet."""
    have = [file.name for file in entry.files if (places.downloads(entry.name) / file.name).is_file()]
    lost = [file.name for file in entry.files if file.name not in have]
    return f" (there: {', '.join(have)}; missing: {', '.join(lost)})" if have and lost else ""


def _state(entry: Entry, places: Places) -> str:
    if entry.how == "huggingface":
        return "in cache" if there(entry, places) else "–"
    state = places.state(entry.name)
    whole = state not in ("here", "in place") or layout.usable(entry, places.folder(entry.name))
    return state if whole else "parts missing"
