"""The site: whole, linked, searchable, and nothing in it is loaded from a network."""

import base64
import inspect
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pandas as pd
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import stremn
from stremn.cli import main
from stremn.commands.site import INDEX, collect
from stremn.commands.site_pages import NOT_RUN, STATE, WIDGET, local_links, notebook_page
from stremn.report.page import Report, Section, Table

pytest.importorskip("sphinx", reason="Sphinx is not installed (the extra 'site')")
pytest.importorskip("myst_nb", reason="MyST-NB is not installed (the extra 'site')")

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*Check CHANGES for Sphinx API"),
    pytest.mark.filterwarnings("ignore:The mapping interface for autodoc"),
]

ROOT = Path(__file__).parents[1]
BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
FIRST = "1_why_a_memory"  # the front page links it
LESSON = r"""# 1 · Why

An aardvark reads $\sum_i a_i x_i$ and $\lceil T/N \rceil$. Next: [2](2_next.ipynb), [code](../../setup.py).

$$y = \frac{1}{Z} \exp\left(\frac{k^\top q}{\sqrt{C}}\right)$$

1. A question that costs `$5` or `$6`.

<details><summary>Solution</summary>

The *capybara* is hidden: $\tau$.
</details>
"""
REPORT = Report(
    "A *small* report",
    "Profile tiny.",
    [
        Section(
            "Rules (K = 6)", "J&F of $5.", [Table("<b>Table</b>", pd.DataFrame({"a": [1.25]}, ["echidna"]))]
        )
    ],
)
WORDS = {
    f"notebooks/learn/{FIRST}": ["aardvark", "capybara"],
    "notebooks/learn/2_next": ["bandicoot"],
    "notebooks/explore/first_look": ["tapir"],
    "notebooks/01_data": ["dugong", "numbat"],
    "notebooks/09_report": ["wombat"],
    "report": ["echidna"],
    "README": ["quokka"],
    "CONTRIBUTING": ["platypus"],
    "api": ["open_stream"],
    "results/real/README": ["quoll"],
    "index": ["pretrain"],
}


# --- a small project


def book(*cells: NotebookNode) -> NotebookNode:
    language = {"name": "python", "pygments_lexer": "ipython3"}
    return new_notebook(cells=list(cells), metadata={"language_info": language})


def code(
    source: str, *outputs: NotebookNode, tags: tuple[str, ...] = (), count: int | None = 1
) -> NotebookNode:
    return new_code_cell(source, outputs=list(outputs), execution_count=count, metadata={"tags": list(tags)})


def stage_book(title: str, word: str) -> NotebookNode:
    """As papermill leaves one: default and injected parameters, a progress bar, a picture, a table."""
    return book(
        new_markdown_cell(f"# {title}"),
        code("profile = 'default-profile'", tags=("parameters",)),
        code("profile = 'tiny'", tags=("injected-parameters",)),
        code("work()", new_output("stream", name="stderr", text="steps: 10%|# | 1/10"), count=2),
        code("look()", new_output("display_data", {"image/png": PIXEL, "text/plain": "<Figure>"}), count=3),
        code(
            "t",
            new_output("execute_result", {"text/html": f"<table><tr><td>{word}</td></tr></table>"}),
            count=4,
        ),
    )


def write(path: Path, content: NotebookNode | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else nbformat.writes(content), encoding="utf-8")


def project(root: Path) -> Path:
    shutil.copytree(ROOT / "docs" / "site", root / "docs" / "site")
    shutil.copy(ROOT / "docs" / "explorer_heat.png", root / "docs" / "strip.png")
    write(root / "params.yaml", "tiny: {}\n")
    links = "![strip](docs/strip.png) ![badge](https://example.org/badge.svg) [1](notebooks/01_data.ipynb)"
    write(root / "README.md", f"# About\n\nA quokka. {links} [licence](LICENSE)\n")
    write(root / "CONTRIBUTING.md", "# Contributing\n\nA platypus.\n")
    write(root / "results" / "real" / "README.md", "# Real\n\nA quoll.\n")
    write(root / f"notebooks/learn/{FIRST}.ipynb", book(new_markdown_cell(LESSON)))
    lesson = book(new_markdown_cell("# 2 · Next"), code("print('bandi' 'coot', 'bandicoot')", count=None))
    write(root / "notebooks/learn/2_next.ipynb", lesson)
    for name in ("memory", "first_look"):
        write(root / f"notebooks/explore/{name}.ipynb", book(new_markdown_cell("# A look\n\nA tapir.")))
    for name in ("01_data", "09_report"):
        write(root / f"notebooks/{name}.ipynb", book(new_markdown_cell("# unused")))
    write(root / "data/prepared/tiny/notebook.ipynb", stage_book("1 · Data with a dugong", "numbat"))
    write(root / "data/runs/tiny/report/notebook.ipynb", stage_book("9 · Report", "wombat"))
    report, picture = root / "data/runs/tiny/report", root / "data/runs/tiny/cost/figures/cost.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(base64.b64decode(PIXEL))
    shown = replace(REPORT, sections=[replace(REPORT.sections[0], pictures=[picture])])
    shown.write_markdown(report / "report.md")
    return root


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of the small project, made by the command."""
    root = project(tmp_path_factory.mktemp("project"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root / "notebooks")
        assert main(["site", "--profile", "tiny", "--no-execute"]) == 0
    assert sorted(p.name for p in (root / "data").iterdir()) == ["prepared", "runs", "site"]
    return root / "data" / "site"


# --- what a page loads, and where it leads


class Page(HTMLParser):
    """What a page loads, what it links, its anchors and its scripts and styles."""

    LOADED = {"src", "srcset", "data", "poster", "xlink:href", "background"}
    FETCHED_LINKS = {"stylesheet", "icon", "shortcut", "preload", "modulepreload", "manifest", "prefetch"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.inside = ""
        self.inline = {"script": "", "style": ""}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.inside = tag
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        self.loaded += [value for name, value in found.items() if name in self.LOADED]
        self.inline["style"] += found.get("style", "") + "\n"
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        elif "href" in found and (tag != "link" or self.FETCHED_LINKS & set(found.get("rel", "").split())):
            self.loaded.append(found["href"])

    def handle_data(self, data: str) -> None:
        if self.inside in self.inline:
            self.inline[self.inside] += data

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""


def sheet_loads(text: str) -> list[str]:
    """What a style sheet loads: ``url(…)`` and ``@import``."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    urls = re.findall(r"url\(\s*(?:\"([^\"]*)\"|'([^']*)'|([^)]*))\s*\)", text)
    return ["".join(parts) for parts in urls] + re.findall(r"@import\s+[\"']([^\"']+)", text)


def from_elsewhere(text: str) -> list[str]:
    """All that a page loads from another place than its own folder (or itself, ``data:``)."""
    page = Page(text)
    loads = page.loaded + sheet_loads(page.inline["style"])
    found = [url for url in loads if re.match(r"\s*([a-z]+:)?//", url, re.I)]
    return found + re.findall(r"https?://[^\"'\s]+", page.inline["script"])


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://a.org/x.js"></script>',
        "<link rel='stylesheet' href='//a.org/x.css'>",
        "<img srcset='https://a.org/x.png 2x'>",
        "<style>@import 'https://a.org/x.css';</style>",
        "<p style='background:url(http://a.org/x.png)'>",
        "<svg><image href='https://a.org/x.png'/></svg>",
        "<script>load('https://a.org/x.js')</script>",
    ],
)
def test_the_check_sees_what_is_loaded(text: str) -> None:
    assert len(from_elsewhere(text)) == 1
    assert not from_elsewhere(
        "<a href='https://a.org'>x</a><img src='data:image/png;base64,//x'><img src='a//b'>"
    )


def test_nothing_is_loaded_from_a_network(built: Path) -> None:
    pages = {path: from_elsewhere(path.read_text(encoding="utf-8")) for path in built.rglob("*.html")}
    assert len(pages) > len(WORDS) and not {path: found for path, found in pages.items() if found}
    for sheet in built.rglob("*.css"):
        loads = sheet_loads(sheet.read_text(encoding="utf-8"))
        assert not [url for url in loads if re.match(r"([a-z]+:)?//", url)], sheet


def test_every_link_leads_somewhere(built: Path) -> None:
    paths = [path for path in built.rglob("*.html") if "_static" not in path.parts]  # the theme's templates
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in paths}
    followed = 0
    for path, page in pages.items():
        for url in page.links + page.loaded:
            parts = urlsplit(url)
            if parts.scheme:
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert there.is_file(), f"{path.relative_to(built)} links {url}"
            if parts.fragment and there in pages:
                assert unquote(parts.fragment) in pages[there].anchors, (
                    f"{path.relative_to(built)} links {url}"
                )
            followed += 1
    assert followed > 100


# --- what the pages hold


def text_of(built: Path, name: str) -> str:
    return (built / f"{name}.html").read_text(encoding="utf-8")


def test_the_search_knows_every_page(built: Path) -> None:
    found = re.fullmatch(r"Search\.setIndex\((.*)\)\s*", (built / INDEX).read_text(encoding="utf-8"), re.S)
    assert found
    index = json.loads(found.group(1))
    for page, words in WORDS.items():
        number = index["docnames"].index(page)
        for word in words:
            held = {**index["terms"], **index["titleterms"]}.get(word, [])
            assert number in (held if isinstance(held, list) else [held]), (page, word)


def test_formulas_are_drawn_by_the_browser(built: Path) -> None:
    text = text_of(built, f"notebooks/learn/{FIRST}")
    assert text.count("<math ") == 4 and text.count('display="block"') == 1
    assert "<mfrac>" in text and "$5" in text and "MathJax" not in text


def test_solutions_stay_hidden(built: Path) -> None:
    (inside,) = re.findall(r"<details>(.*?)</details>", text_of(built, f"notebooks/learn/{FIRST}"), re.S)
    assert "<summary>Solution</summary>" in inside and "<em>capybara</em>" in inside and "<math" in inside


def test_a_stage_is_shown_without_its_plumbing(built: Path) -> None:
    text = text_of(built, "notebooks/01_data")
    assert "default-profile" not in text and "10%" not in text
    assert "Settings of this stage" in text and "_images/" in text and "<td>numbat</td>" in text


def test_the_report_is_a_page(built: Path) -> None:
    text = text_of(built, "report")
    assert "A *small* report" in text and "J&amp;F of $5." in text and "&lt;b&gt;Table&lt;/b&gt;" in text
    assert re.search(r"<th class=.*echidna.*\n<td.*1.2", text) and "_images/1_cost.png" in text
    assert text.count("Rules (K = 6)") >= 2  # the heading and the contents


def test_the_reference_shows_functions_with_their_arguments(built: Path) -> None:
    text = text_of(built, "api")
    start = text.index('id="stremn.open_stream"')
    shown = re.sub(r"<[^>]+>", "", text[start : text.index("</dl>", start)])
    signature = inspect.signature(stremn.open_stream)
    assert "open_stream(" in shown and all(f"{name}:" in shown for name in signature.parameters)
    for name in stremn.__all__:
        assert f'id="stremn.{name}"' in text, name
    assert 'id="stremn.ops.attention.space_time_read"' in text


def test_pages_are_linked(built: Path) -> None:
    for name in WORDS:
        links = {urlsplit(url).path.rpartition("/")[2] for url in Page(text_of(built, name)).links}
        others = {f"{other.rpartition('/')[2]}.html" for other in WORDS if other not in (name, "index")}
        assert others <= links, name
    about = text_of(built, "README")
    assert "strip.png" in about and "licence" in about and "LICENSE" not in about
    assert "Not run yet: pretrain" in text_of(built, "index")


# --- when something is wrong


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project(tmp_path))
    return tmp_path


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["site", *arguments]) == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    return line


def test_a_profile_that_has_not_run(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(place.rglob("*"))
    assert "'paper'" in fails(capsys, "--profile", "paper", "--out", "new/site")
    assert sorted(place.rglob("*")) == before


def test_other_files_are_not_replaced(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(place / "mine/letter.txt", "dear")
    assert "other files" in fails(capsys, "--profile", "tiny", "--out", "mine")
    assert (place / "mine/letter.txt").read_text() == "dear"


def test_a_formula_that_is_not_understood(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(place / "data/site" / INDEX, "an earlier site")
    write(place / "CONTRIBUTING.md", "# Contributing\n\nHere $\\foo{x}$ is.\n")
    line = fails(capsys, "--profile", "tiny", "--no-execute")
    assert "CONTRIBUTING.md" in line and r"\foo" in line and str(place) not in line
    assert [p.name for p in (place / "data/site").iterdir()] == [INDEX]


def test_walkthroughs_are_run(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(place / "notebooks/learn")
    write(place / "notebooks/learn/3_broken.ipynb", book(new_markdown_cell("# 3"), code("1 / 0", count=None)))
    line = fails(capsys, "--profile", "tiny")
    assert "3_broken.ipynb" in line and "ZeroDivisionError" in line and not (place / "data/site").exists()


def test_walkthroughs_bring_their_results(place: Path) -> None:
    (place / f"notebooks/learn/{FIRST}.ipynb").unlink()
    shutil.rmtree(place / "notebooks/explore")
    collect(place, "tiny", place / "pages", execute=True)
    page = nbformat.read(place / "pages/notebooks/learn/2_next.ipynb", 4)
    assert page.cells[1].outputs[0].text == "bandicoot bandicoot\n"
    stored = nbformat.read(place / "notebooks/learn/2_next.ipynb", 4)
    assert not stored.cells[1].outputs and notebook_page(stored).cells[1].source == NOT_RUN


# --- pieces


def test_a_widget_becomes_its_picture() -> None:
    state = {
        "box": {"model_name": "VBoxModel", "state": {"children": ["IPY_MODEL_slider", "IPY_MODEL_screen"]}},
        "slider": {"model_name": "IntSliderModel", "state": {}},
        "screen": {"model_name": "ImageModel", "state": {}, "buffers": [{"data": PIXEL, "path": ["value"]}]},
    }
    shown = [
        new_output("display_data", {WIDGET: {"model_id": name}, "text/plain": "x"})
        for name in ("box", "slider")
    ]
    made = book(code("live()", *shown))
    made.metadata["widgets"] = {STATE: {"state": state}}
    (output,) = notebook_page(made).cells[0].outputs
    assert output.data == {"image/png": PIXEL} and "widgets" not in made.metadata


def test_links_without_a_target_become_text() -> None:
    def keep(target: str, picture: bool) -> bool:
        return target == "there.md" or picture

    text = "[a](there.md#x) [b](gone.md) ![c](d.png) [e](https://f.org) [g [h]](gone) [i](#j)\n"
    code = "`[b](gone)`\n```python\ntable[0](gone)\n```\n"
    kept = "[a](there.md#x) b ![c](d.png) [e](https://f.org) g [h] [i](#j)\n"
    assert local_links(text + code, keep) == kept + code


@pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome on this machine")
def test_it_is_read_from_the_folder_without_a_network(built: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    wrong: list[str] = []
    with sync_api.sync_playwright() as play:
        options = {"executable_path": BROWSER, "args": ["--headless", "--no-sandbox", "--disable-gpu"]}
        browser = play.chromium.launch(**options)
        page = browser.new_context(offline=True).new_page()
        page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else wrong.append(r.url))
        for name in WORDS:
            page.goto((built / f"{name}.html").as_uri())
        page.goto((built / "search.html").as_uri() + "?q=echidna")
        page.wait_for_selector("#search-results li a", timeout=30_000)
        assert page.locator("#search-results li a").first.get_attribute("href").startswith("report.html")
        browser.close()
    assert not wrong
