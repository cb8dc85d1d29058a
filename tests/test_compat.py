"""compat: torchvision stays importable beside a PyTorch that its compiled operators do not fit."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from stremn import compat


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_torchvision_and_what_needs_it_can_be_imported() -> None:
    result = python(
        "from stremn.compat import ensure_torchvision as e; first = e(); import torchvision, timm, lpips;"
        "assert first == e(); torchvision.ops.nms; print('whole' if not first else 'declared')"
    )
    assert result.returncode == 0, result.stderr
    plain = python("import torchvision")
    assert result.stdout.strip() == ("whole" if plain.returncode == 0 else "declared")


def test_nothing_is_declared_where_the_compiled_operators_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "_compiled_operators_load", lambda folder: True)
    monkeypatch.setattr(compat, "_declare", lambda: pytest.fail("declared beside a whole torchvision"))
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    assert compat.ensure_torchvision.__wrapped__() is False


def test_nothing_is_declared_without_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "find_spec", lambda name: None)
    monkeypatch.setattr(compat, "_declare", lambda: pytest.fail("declared without torchvision"))
    assert compat.ensure_torchvision.__wrapped__() is False


def test_a_library_that_cannot_be_loaded_is_noticed(tmp_path: Path) -> None:
    assert compat._compiled_operators_load(tmp_path) is False
    (tmp_path / "_C.so").write_bytes(b"not a library")
    assert compat._compiled_operators_load(tmp_path) is False


def test_importing_the_module_does_nothing() -> None:
    result = python(
        "import sys, stremn.compat as c; assert 'torchvision' not in sys.modules; print(len(c._kept))"
    )
    assert result.stdout.strip() == "0", result.stderr
    assert isinstance(torch.__version__, str)
