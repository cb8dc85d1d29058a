"""The commands ``stremn data list``, ``get`` and ``check``. Everything heavy is imported by the one that runs."""

import shlex
import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stremn.errors import InputError
from stremn.paths import find_root

if TYPE_CHECKING:
    from stremn.acquire.catalogue import Entry, Rule
    from stremn.acquire.installed import Places
    from stremn.acquire.layout import Problem

SHOWN = 20  # problems of one dataset that are printed
USABLE = "the main parts are there: it can be used, but for what is named here"
NOT_PUBLISHED = "not published"
WHERE = {
    "google-drive": "Google Drive",
    "huggingface": "Hugging Face",
    "registry": "registry",
    "form": "a form",
    "open": "open",
}

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")

Names = Annotated[list[str], typer.Argument(metavar="NAME…", help="Names as in `stremn data list`.")]
Root = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder of raw data; without it data/raw of the project."),
]


@app.callback()
def data() -> None:
    """Datasets and weights of the papers: what there is, getting them, checking them."""


@app.command("list")
def list_command(root: Root = None) -> None:
    """Show every dataset and weight: on disk or not, size to fetch, where from, licence, what for.

    Example:

    `stremn data list`
    """
    from stremn.acquire.catalogue import load
    from stremn.acquire.installed import state

    places = _places(root)
    rows = [("name", "on disk", "to fetch", "from", "licence", "for")]
    for entry in load().values():
        licence = textwrap.shorten(entry.licence, 34, placeholder=" …")
        uses = "; ".join(entry.uses)
        rows.append((entry.name, state(entry, places), _size_text(entry), WHERE[entry.how], licence, uses))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    most = shutil.get_terminal_size((160, 24)).columns
    for row in rows:
        line = "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        print(line if len(line) <= most else line[: most - 1] + "…")
    print(f"\nraw data: {places.root}")


@app.command("get")
def get_command(
    names: Names,
    root: Root = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before fetching.")] = False,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Files fetched at a time.")] = 4,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the archives after unpacking.")] = False,
    use: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="Fetch nothing: use the dataset that lies there, in place, read-only."
        ),
    ] = None,
) -> None:
    """Fetch and unpack datasets and weights, or use one that is already on disk.

    Existing files are skipped, a cut download goes on where it stopped, and nothing is accepted whose size or
    published checksum is wrong. For sets behind a form it says what to do by hand.

    Examples:

    `stremn data get davis-2017 ecssd --yes`

    `stremn data get davis-2016 --use /datasets/DAVIS`
    """
    from stremn.acquire.catalogue import find
    from stremn.acquire.get import get, link

    places = _places(root)
    if use is not None:
        if len(names) != 1:
            raise InputError(f"expected one NAME with --use, found {len(names)}: give them one by one")
        problems = link(find(names[0]), places, use)
        folder, target = places.folder(names[0]), use.expanduser().resolve()
        print(f"{names[0]}: {folder} → {target}, used in place, read-only")
        if problems:
            print("\n".join([f"  {_count(problems)}; {USABLE}:", *_listed(problems)]))
        return
    entries = [find(name) for name in dict.fromkeys(names)]
    if not yes:
        _ask(entries, places)
    try:
        outcomes = get(entries, places, workers, keep)
    except KeyboardInterrupt:
        print(
            f"\nstopped: partial files are kept in {places.root}; the same command goes on", file=sys.stderr
        )
        raise typer.Exit(130) from None
    for entry, outcome in zip(entries, outcomes, strict=True):
        if outcome.state == "missing":
            print(f"{entry.name}: not fetched, it is behind a form\n{_instructions(entry, places)}")
        elif outcome.state == "installed":
            print(f"{entry.name}: is here, nothing fetched: {outcome.path}")
        else:
            print(f"{entry.name}: got: {outcome.path}" + (f"\n  {entry.note}" if entry.note else ""))
    missing = [outcome.name for outcome in outcomes if outcome.state == "missing"]
    if missing:
        raise InputError(
            f"expected all of it on disk, found {', '.join(missing)} to be fetched by hand, as above"
        )


@app.command("check")
def check_command(
    names: Names,
    root: Root = None,
    path: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Look there instead of in the folder of raw data.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Also read every file that was got and compare its hash.")
    ] = False,
) -> None:
    """Say exactly what of a dataset is missing or damaged, and where it belongs.

    Examples:

    `stremn data check youtube-vos-2019`

    `stremn data check davis-2017 --path /datasets/DAVIS`
    """
    from stremn.acquire.catalogue import find

    if path is not None and len(names) != 1:
        raise InputError(f"expected one NAME with --path, found {len(names)}: give them one by one")
    places = _places(root)
    bad = [name for name in names if not _check(find(name), places, path, full)]
    if bad:
        raise InputError(f"expected complete datasets, found faults in {', '.join(bad)}: see above")


def _places(root: Path | None) -> "Places":
    """The folder of raw data: the given one, or the project's ``data/raw``."""
    from stremn.acquire.installed import Places, project_places

    if root is None:
        return project_places(find_root())
    folder = root.expanduser().resolve()
    if folder.exists() and not folder.is_dir():
        raise InputError(f"expected a folder of raw data at {root}, found a file: choose another --root")
    return Places(folder, f" --root {shlex.quote(str(root))}")


def _size_text(entry: "Entry") -> str:
    """What is to be fetched, as published; never a guess."""
    from rich.filesize import decimal

    if entry.size is not None:
        return decimal(entry.size)
    known = [decimal(file.size) if file.size else file.about for file in entry.files]
    return "about " + " + ".join(map(str, known)) if known and all(known) else NOT_PUBLISHED


def _ask(entries: list["Entry"], places: "Places") -> None:
    """Show what will be fetched and ask; without a terminal, ``--yes`` is needed."""
    from stremn.acquire.installed import find_installed

    wanted = [one for one in entries if one.how != "form" and find_installed(one, places) is None]
    for entry in wanted:
        source = entry.page if entry.how == "open" else f"{WHERE[entry.how]} ({entry.page})"
        print(f"{entry.name}: size {_size_text(entry)}; from {source}; licence: {entry.licence}")
    if wanted and not sys.stdin.isatty():
        raise InputError("expected --yes where nobody can answer, found none: add it")
    if wanted and not typer.confirm("Fetch it?"):
        raise typer.Exit(1)


def _check(entry: "Entry", places: "Places", path: Path | None, full: bool) -> bool:
    """Compare a dataset with its official layout and print the result; whether all is well."""
    from stremn.acquire import layout
    from stremn.acquire.installed import compare, find_installed, read_index

    name, again = entry.name, f"`stremn data get {entry.name}{places.option}`"
    if entry.how == "huggingface":
        found = find_installed(entry, places)
        print(f"{name}: {found or f'missing. {again} gets it'}")
        return found is not None
    folder = path.expanduser() if path is not None else places.folder(name)
    if not folder.is_dir():
        gone = f", which is a link to {folder.readlink()}, where nothing is" if folder.is_symlink() else ""
        print(f"{name}: missing, expected in {folder}{gone}\n{_instructions(entry, places)}")
        return False
    problems = layout.check(entry, folder)
    kept = read_index(places.index(name)) if path is None and not folder.is_symlink() else []
    told = {problem.path for problem in problems}
    problems += [problem for problem in compare(folder, kept, content=full) if problem.path not in told]
    if not problems:
        print(f"{name}: complete, {folder}")
        return True
    essential = any(problem.essential for problem in problems)
    use = "main parts are missing, it cannot be used" if essential else USABLE
    lines = [f"{name}: {_count(problems)} in {folder}; {use}", *_listed(problems)]
    if essential and (inner := layout.one_level_down(entry, folder)):
        lines.append(f"  it seems to be one folder further down: {inner}")
    advice = f"complete it from {entry.page}"
    if entry.how == "form":
        advice += f"; {again} shows how"
    elif kept:
        anew = f"{again} gets it anew"
        advice = f"remove {folder}, then {anew}" if find_installed(entry, places) else anew
    print("\n".join([*lines, f"  {advice}"]))
    return False


def _instructions(entry: "Entry", places: "Places") -> str:
    """A page that says how a person gets a dataset, where to put it, and under which terms."""
    lines = [
        entry.title,
        f"page: {entry.page}",
        f"licence: {entry.licence}",
        f"please cite: {entry.citation}",
    ]
    folder, downloads = places.folder(entry.name), places.downloads(entry.name)
    get = f"stremn data get {entry.name}{places.option}"
    if entry.how != "form":
        lines.append(f"`{get}` gets it ({WHERE[entry.how]})")
        return textwrap.indent("\n".join(lines), "  ")
    lines += entry.instructions.rstrip().splitlines()
    if entry.files:
        names = [file.name for file in entry.files]
        have = [name for name in names if (downloads / name).is_file()]
        lost = [name for name in names if name not in have]
        so_far = f" (there: {', '.join(have)}; missing: {', '.join(lost)})" if have and lost else ""
        lines.append(f"Put {' and '.join(names)} into {downloads}{so_far}")
        lines.append(f"and run `{get}` again: it checks and unpacks them into {folder}.")
        lines.append("Or unpack them yourself there.")
    else:
        lines.append(f"It belongs into {folder}.")
    lines.append(f"Already elsewhere on disk: `{get} --use PATH`.")
    check = f"stremn data check {entry.name}{places.option}"
    lines.append(f"Then `{check}` says what is missing or damaged. Expected there:")
    lines += [f"  {rule.path}{_amount(rule)}" for rule in entry.layout if not rule.listed]
    return textwrap.indent("\n".join(lines), "  ")


def _amount(rule: "Rule") -> str:
    """How much of it is expected, in brackets."""
    counts = {"folders": rule.folders, f"files {rule.suffix}".strip(): rule.files, "lines": rule.lines}
    parts = [f"{count} {what}" for what, count in counts.items() if count is not None]
    parts += ["optional"] if rule.optional else []
    return f" ({', '.join(parts)})" if parts else ""


def _listed(problems: list["Problem"]) -> list[str]:
    rest = len(problems) - SHOWN
    return [f"  {one}" for one in problems[:SHOWN]] + ([f"  … and {rest} more"] if rest > 0 else [])


def _count(problems: list["Problem"]) -> str:
    return f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
