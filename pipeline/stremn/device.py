"""Which device to compute on, how the CPU computes, and what is installed: for the stages and ``stremn info``."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from stremn.errors import InputError

NAMED = ("stremn", "torch", "torchvision", "timm", "lpips", "numpy", "scikit-image", "av", "dvc", "mlflow")


# Another number of threads or another instruction set adds in another order, and after a few steps of training
# that is another network. MKL's compatible branch is the only one that CPUs of all makers share.
SAME_EVERYWHERE = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "COMPATIBLE",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Haswell",
}
"""Environment of a process whose numbers are the same, bit for bit, on every x86 CPU that has AVX2."""


def is_same_everywhere() -> bool:
    """Whether this process was started with ``SAME_EVERYWHERE``."""
    return all(os.environ.get(name) == value for name, value in SAME_EVERYWHERE.items())


def computes() -> str:
    """How this process computes on the CPU, in words: what its numbers depend on beside the code."""
    sets = torch.backends.cpu.get_cpu_capability() + (" at most" if is_same_everywhere() else "")
    threads = torch.get_num_threads()
    return f"{platform.machine()}, {sets}, {threads} thread{'s' * (threads > 1)}, torch {version('torch')}"


def choose(name: str = "auto") -> str:
    """The device to use.

    Args:
        name: ``auto`` (CUDA, else Apple's MPS, else the CPU), or a device that PyTorch knows, such as
            ``cpu``, ``cuda`` or ``cuda:1``.

    Raises:
        InputError: no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(
            f"expected a device such as auto, cpu or cuda, found {name!r}; choose one of these"
        ) from None
    found = available()
    wanted = f"cuda:{device.index or 0}" if device.type == "cuda" else device.type
    if wanted not in found:
        raise InputError(
            f"expected a device of {', '.join(found)} on this machine, found {name!r}; set device: auto"
        )
    return name


def available() -> list[str]:
    """Devices of this machine."""
    cuda = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return ["cpu", *cuda, *(["mps"] if torch.backends.mps.is_available() else [])]


def versions() -> dict[str, str]:
    """Python, the packages that results depend on, and their versions."""
    found = {"python": platform.python_version()}
    for name in NAMED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def describe() -> dict[str, Any]:
    """Devices, threads and versions, as plain data."""
    names = {f"cuda:{i}": torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())}
    return {
        "device": choose("auto"),
        "available": [f"{d} ({names[d]})" if d in names else d for d in available()],
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }
