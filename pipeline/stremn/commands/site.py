"""``stremn site``: walkthroughs, a profile's executed notebooks and its report as pages to read without a network."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stremn import paths
from stremn.errors import InputError

if TYPE_CHECKING:
    from nbformat import NotebookNode

TEXTS = ("README.md", "CONTRIBUTING.md")
LIVE = ("notebooks/explore/memory.ipynb",)  # nothing without a kernel
REPORT = "report.md"  # of the stage report, with its folder figures
INDEX = "searchindex.js"  # by which an earlier site is known
CELL_LIMIT = 900  # seconds


def site(
    profile: Annotated[str, typer.Option(help="Block of params.yaml whose results are shown.")] = "demo",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the site; without it data/site.")
    ] = None,
    execute: Annotated[
        bool, typer.Option(help="Run the walkthroughs for their results (some minutes).")
    ] = True,
) -> None:
    """Make pages of everything there is to read: walkthroughs, executed notebooks and report of a profile.

    Linked, with a search, read from the folder by any browser without a network. An earlier site in the folder
    is replaced when the new one is complete.

    Example:

    `stremn site --profile demo`
    """
    print(make_site(profile, out=out, execute=execute))


def make_site(
    profile: str, *, out: Path | None = None, execute: bool = True, root: Path | None = None
) -> Path:
    """Build the site and return its first page.

    Args:
        profile: whose executed notebooks and report are shown.
        out: folder of the site, new, empty or an earlier site; None: ``data/site``.
        execute: run the walkthroughs for their results, else show them as they are stored.
        root: of the project; None: found from the current folder.

    Raises:
        InputError: nothing of the profile has run; ``out`` holds something else; Sphinx is missing; a
            walkthrough or a page is broken. What was at ``out`` is then as before.
    """
    from tempfile import TemporaryDirectory

    from stremn.files import replacing

    root = (root or paths.find_root()).resolve()
    out = (root / "data" / "site" if out is None else out).resolve()
    _check(root, profile, out)
    with TemporaryDirectory(prefix="stremn-site-") as folder:
        pages, built = Path(folder) / "pages", Path(folder) / "site"
        collect(root, profile, pages, execute=execute)
        build(pages, built, {"profile": profile, "stages": _stages_sentence(root, profile)})
        out.parent.mkdir(parents=True, exist_ok=True)
        with replacing(out) as scratch:
            shutil.copytree(built, scratch)
    return out / "index.html"


def executed(root: Path, profile: str) -> dict[str, Path]:
    """The executed notebooks of a profile by stage, in the stages' order."""
    from stremn.run import NOTEBOOK, STAGES

    found = {stage: paths.output(root, profile, stage) / NOTEBOOK for stage in STAGES}
    return {stage: path for stage, path in found.items() if path.is_file()}


def collect(root: Path, profile: str, pages: Path, *, execute: bool) -> None:
    """Copy all that becomes a page to the folder ``pages``, which must not exist, in the project's own layout."""
    import nbformat
    from tqdm import tqdm

    from stremn.run import notebook_of

    shutil.copytree(root / "docs" / "site", pages)
    for path in [*(root / name for name in TEXTS), *sorted(root.glob("results/*/README.md"))]:
        page = pages / path.relative_to(root)
        page.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, page)
    report = paths.output(root, profile, "report")
    if (report / REPORT).is_file():
        shutil.copy(report / REPORT, pages)
        shutil.copytree(report / "figures", pages / "figures")
    else:
        missing = f"# Report\n\nThe stage `report` of the profile `{profile}` has not run.\n"
        (pages / REPORT).write_text(missing, encoding="utf-8")
    books = {path.relative_to(root): path for path in _walkthroughs(root)}
    for name, path in tqdm(books.items(), desc="walkthroughs", unit="notebook", disable=not execute):
        _save(_run(path) if execute else nbformat.read(path, 4), pages / name)
    for stage, path in executed(root, profile).items():
        _save(nbformat.read(path, 4), pages / notebook_of(root, stage).relative_to(root))
    _mend_links(root, pages)


def build(pages: Path, out: Path, words: dict[str, str]) -> None:
    """Make the site of collected pages with Sphinx; ``words`` stand for ``{{ name }}`` in them.

    Raises:
        InputError: Sphinx is missing, or warns: a link that leads nowhere, a formula that is not understood.
    """
    import io

    try:
        import myst_nb  # noqa: F401
        from sphinx.application import Sphinx
        from sphinx.util.docutils import docutils_namespace, patch_docutils
    except ImportError as error:
        raise InputError(
            f"expected the packages that make the site, found no {error.name}: pip install -e '.[site]'"
        ) from None
    told = io.StringIO()
    with patch_docutils(pages), docutils_namespace():
        app = Sphinx(
            *(pages, pages, out, out.with_name("doctrees"), "html"),
            confoverrides={"myst_substitutions": words},
            status=None,
            warning=told,
        )
        app.build(force_all=True)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", told.getvalue()).replace(f"{pages}/", "").splitlines()
    if lines:
        raise InputError(f"expected pages without a fault, found {len(lines)}, first: {lines[0]}: mend it")
    shutil.rmtree(out / ".doctrees", ignore_errors=True)
    (out / ".buildinfo").unlink(missing_ok=True)


def _check(root: Path, profile: str, out: Path) -> None:
    """What can be told before the long work."""
    if not executed(root, profile):
        raise InputError(
            f"expected executed notebooks of the profile {profile!r} in {paths.relative(paths.runs(root, profile), root)}, "
            "found none: run its pipeline first (demo: `make repro`; others: `dvc repro profiles/NAME/dvc.yaml`)"
        )
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not (out / INDEX).is_file()):
        raise InputError(
            f"expected a new folder or an earlier site at {out}, found other files: choose another"
        )


def _stages_sentence(root: Path, profile: str) -> str:
    from stremn.run import STAGES

    left = [stage for stage in STAGES if stage not in executed(root, profile)]
    return f"Not run yet: {', '.join(left)}." if left else "All its stages have run."


def _walkthroughs(root: Path) -> Iterator[Path]:
    for folder in ("learn", "explore"):
        for path in sorted((root / "notebooks" / folder).glob("*.ipynb")):
            if path.relative_to(root).as_posix() not in LIVE:
                yield path


def _run(path: Path) -> "NotebookNode":
    """The notebook with its results; InputError with its name if a cell fails."""
    import papermill
    from papermill.exceptions import PapermillExecutionError

    try:
        return papermill.execute_notebook(
            *(path, None),
            kernel_name="python3",
            cwd=path.parent,
            progress_bar=False,
            execution_timeout=CELL_LIMIT,
            extra_arguments=["--IPKernelApp.log_level=50"],  # a cell's error reaches us by itself
        )
    except PapermillExecutionError as error:
        raise InputError(
            f"expected {path.name} to run from top to bottom, found {error.ename} in cell {error.exec_count} "
            f"({error.evalue}): mend it, or show it without results (--no-execute)"
        ) from None


def _save(book: "NotebookNode", path: Path) -> None:
    import nbformat

    from stremn.commands.site_pages import notebook_page

    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook_page(book), path)


def _mend_links(root: Path, pages: Path) -> None:
    """Links to files that are no page become plain text; pictures that a page shows come along."""
    import nbformat

    from stremn.commands.site_pages import local_links

    def mended(text: str, folder: Path) -> str:
        def keep(target: str, picture: bool) -> bool:
            there = (folder / target).resolve()
            source = root / there.relative_to(pages) if there.is_relative_to(pages) else there
            if picture and source.is_file() and not there.exists():
                there.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, there)
            return there.is_file()

        return local_links(text, keep)

    pages = pages.resolve()
    for path in pages.rglob("*.md"):
        if path.name != REPORT:
            path.write_text(mended(path.read_text(encoding="utf-8"), path.parent), encoding="utf-8")
    for path in pages.rglob("*.ipynb"):
        book = nbformat.read(path, 4)
        for cell in book.cells:
            if cell.cell_type == "markdown":
                cell.source = mended(cell.source, path.parent)
        nbformat.write(book, path)
