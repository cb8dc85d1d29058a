"""The walkthroughs and the first look: every notebook runs from top to bottom on a CPU, in time, with pictures.

They run here with small numbers, and the walkthroughs with their hidden solutions; STREMN_LEARN=full takes
the numbers of the notebooks themselves.
"""

import os
import re
import shutil
import time
from pathlib import Path

import nbformat
import papermill
import pytest
from ipywidgets import IntSlider
from matplotlib.figure import Figure

from stremn.figures.live import live
from stremn.figures.style import new_figure
from stremn.memory import POLICIES

ROOT = Path(__file__).resolve().parents[1]
LEARN = sorted((ROOT / "notebooks" / "learn").glob("*.ipynb"))
FIRST_LOOK = ROOT / "notebooks" / "explore" / "first_look.ipynb"
LIMIT = 120.0  # seconds
FULL = os.environ.get("STREMN_LEARN") == "full"
SMALL = {
    "1": {"frames": 16, "clips": 1, "long": 20},
    "3": {"samples": 2000, "steps": 40},
    "5": {"frames": 16, "clips": 3},
    "6": {"frames": 40},
    "7": {"steps": 4},
    "9": {"steps": 4},
}
READ = ("params.yaml", "dvc.yaml", "README.md")  # of the repository, by the notebooks


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what the notebooks read, with results of another run of the rules."""
    for name in READ:
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("notebooks", "results"):
        shutil.copytree(ROOT / name, tmp_path / name)
    table = tmp_path / "data" / "runs" / "demo" / "evaluate_vos" / "tables" / "systems.csv"
    table.parent.mkdir(parents=True)
    table.write_text(f",J,F,J&F,low,high\n{POLICIES['oldest'].title},50.0,54.0,52.0,40.0,60.0\n")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def solutions(book: nbformat.NotebookNode) -> list[str]:
    """The Python code of the hidden solutions."""
    text = "\n".join(cell.source for cell in book.cells if cell.cell_type == "markdown")
    return re.findall(r"```python\n(.*?)```", text, re.S)


def run(path: Path, parameters: dict[str, int], extra: list[str]) -> nbformat.NotebookNode:
    """The executed notebook, with more cells at its end; papermill raises what a cell raises."""
    book = nbformat.read(path, 4)
    book.cells += [nbformat.v4.new_code_cell(source) for source in extra]
    nbformat.write(book, path)
    return papermill.execute_notebook(
        path,
        None,
        parameters,
        kernel_name="python3",
        cwd=path.parent,
        progress_bar=False,
        execution_timeout=LIMIT,
    )


def check(book: nbformat.NotebookNode, seconds: float) -> None:
    """In time, and no figure is shown as text."""
    assert seconds < LIMIT
    shown = [o.data for cell in book.cells for o in cell.get("outputs", []) if "data" in o]
    assert [data for data in shown if "image/png" in data]
    assert not [data for data in shown if data.get("text/plain", "").startswith("<Figure") and len(data) == 1]


@pytest.mark.parametrize("path", LEARN, ids=lambda p: p.stem)
def test_a_walkthrough_runs(path: Path, checkout: Path) -> None:
    here = checkout / path.relative_to(ROOT)
    started = time.perf_counter()
    book = run(
        here, {} if FULL else SMALL.get(path.stem[0], {}), [] if FULL else solutions(nbformat.read(path, 4))
    )
    check(book, time.perf_counter() - started)


def test_the_first_look_runs(checkout: Path) -> None:
    started = time.perf_counter()
    book = run(checkout / FIRST_LOOK.relative_to(ROOT), {}, [])
    check(book, time.perf_counter() - started)


def test_the_course_is_complete() -> None:
    assert [path.stem[:2] for path in LEARN] == [f"{i}_" for i in range(1, 10)]


@pytest.mark.parametrize("path", LEARN, ids=lambda p: p.stem)
def test_a_walkthrough_has_its_parts(path: Path) -> None:
    cells = nbformat.read(path, 4).cells
    first, text = cells[0].source, "\n".join(c.source for c in cells if c.cell_type == "markdown")
    assert first.startswith(f"# {path.stem[0]} · ") and "on two CPU cores" in first and "Source" in text
    assert text.count("<details><summary>Solution</summary>") >= 3
    assert text.count("<details>") == text.count("</details>")
    assert cells[-2].source.startswith("## Exercises") and cells[-1].source.startswith(
        ("## Next", "## The end")
    )
    linked = re.findall(r"\]\(([\w.]+\.ipynb)\)", text)
    assert linked and all((path.parent / name).is_file() for name in linked)


@pytest.mark.parametrize("path", [p for p in LEARN if p.stem[0] in SMALL], ids=lambda p: p.stem)
def test_small_numbers_are_parameters(path: Path) -> None:
    assert set(SMALL[path.stem[0]]) <= set(papermill.inspect_notebook(str(path)))


def test_a_live_figure_follows_its_control() -> None:
    drawn = []

    def draw(frame: int) -> Figure:
        drawn.append(frame)
        return new_figure(f"frame {frame}", "a caption", 2, 2)

    slider = IntSlider(3, 0, 9)
    _, screen = live(draw, frame=slider).children
    before = screen.value
    slider.value = 5
    assert drawn == [3, 5]
    assert before[:4] == screen.value[:4] == b"\x89PNG" and before != screen.value
