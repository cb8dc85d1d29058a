"""Hostile files at every door: some hundreds of ``benchmarks/fuzz.py``, each a result or one line, in this process."""

import sys
import tempfile
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
EACH = {  # inputs of a door; the others have MANY
    "checkpoints": 12,
    "saved streams": 24,
    "masks": 6,
    "frames": 8,
    "params.yaml": 8,
    "meta.json": 12,
    "LPIPS weights": 9,
}
MANY = 32


@pytest.fixture(scope="module")
def fuzz(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModuleType, object]:
    """The benchmark's module and its reader."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import fuzz

        return fuzz, fuzz.Reader(tmp_path_factory.mktemp("fuzz"))
    finally:
        sys.path.remove(str(BENCHMARKS))


DOORS = (
    *("weights (.pth)", "checkpoints", "saved streams", "traces", "archives", "masks", "frames", "videos"),
    *("params.yaml", "meta.json", "lists", "results", "LPIPS weights", "NumPy files", "COCO annotations"),
)


@pytest.mark.parametrize("door", DOORS)
def test_every_file_ends_in_a_result_or_one_line(fuzz: tuple[ModuleType, object], door: str) -> None:
    module, reader = fuzz
    run = Path(tempfile.gettempdir()) / "stremn-was-run"  # what the malicious files would write
    run.unlink(missing_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        inputs = module.plan({door: list(reader.seeds(door))}, EACH.get(door, MANY))
        outcomes = [(one, reader.feed(one)) for one in inputs]
    bad = [(one, found) for one, found in outcomes if found.kind not in ("result", "refused")]
    assert not bad, f"{bad[0][0]}: {bad[0][1].detail}"
    valid = [found.kind for one, found in outcomes if one.chance is None]
    assert "result" in valid, "a door that refuses everything tests nothing"
    assert max(found.seconds for _, found in outcomes) < module.LIMIT
    normal = max(f.peak for one, f in outcomes if one.chance is None and f.kind == "result")
    assert all(found.peak <= module.TWICE * normal for _, found in outcomes)
    assert not run.exists()


def test_all_doors_are_tried(fuzz: tuple[ModuleType, object]) -> None:
    assert tuple(fuzz[1].doors) == DOORS
