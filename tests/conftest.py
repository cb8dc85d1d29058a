"""What several test files share."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Small tensors gain nothing from threads; no telemetry."""
    torch.set_num_threads(1)
    os.environ["DO_NOT_TRACK"] = "true"


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """A function: a part of the folder of real data beside the repository; the test skips without it."""

    def find(name: str) -> Path:
        beside = ROOT.parent / "shared" / "data"
        path = Path(os.environ.get("STREMN_SHARED_DATA", beside)) / name
        if not path.exists():
            pytest.skip(f"needs {name} in {path.parent}; set STREMN_SHARED_DATA to the folder that holds it")
        return path

    return find


@pytest.fixture(scope="session")
def write_notebook():
    """A function that writes a stage's notebook: a parameters cell, then the given cells."""

    def write(path: Path, *cells: str, head: str = 'profile: str = "demo"') -> Path:
        book = nbformat.v4.new_notebook()
        first = nbformat.v4.new_code_cell(head, metadata={"tags": ["parameters"]})
        book.cells = [first, *(nbformat.v4.new_code_cell(cell) for cell in cells)]
        book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(book, path)
        return path

    return write


def pytest_configure() -> None:
    """Let Ctrl-C and SIGHUP be heard: what a shell starts in the background begins with them ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
