"""Keeps torchvision importable beside a PyTorch that its compiled operators were not built for.

The package registry's torchvision is a CUDA build. Beside a CPU build of torch its library
``torchvision/_C.so`` cannot be loaded, and ``import torchvision`` fails with "operator torchvision::nms
does not exist", because it attaches Python kernels to two operators that nobody declared. timm and
lpips import torchvision, but use none of its compiled operators: declaring the two is enough for them.
Calling such an operator still fails, with PyTorch's own message.
"""

import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch

UNDECLARED = ("nms", "qnms")
SCHEMA = "{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"

_kept: list[torch.library.Library] = []  # a library's declarations go when it is collected


@cache
def ensure_torchvision() -> bool:
    """Make ``import torchvision`` (timm, lpips) work; call it once before the first such import.

    Returns:
        True when the two operators had to be declared; False when nothing was done: torchvision is
        whole, imported already, or not installed.
    """
    spec = find_spec("torchvision")
    if "torchvision" in sys.modules or spec is None or not spec.submodule_search_locations:
        return False
    if _compiled_operators_load(Path(spec.submodule_search_locations[0])):
        return False
    _declare()
    return True


def _compiled_operators_load(folder: Path) -> bool:
    """Whether torchvision's compiled library in ``folder`` exists and fits this PyTorch."""
    for library in [*sorted(folder.glob("_C*.so")), *sorted(folder.glob("_C*.pyd"))]:
        try:
            torch.ops.load_library(str(library))
        except (OSError, ImportError):
            continue
        return True
    return False


def _declare() -> None:
    """Declare the operators that torchvision attaches Python kernels to at import."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in UNDECLARED:
        library.define(SCHEMA.format(name=name))
    _kept.append(library)
