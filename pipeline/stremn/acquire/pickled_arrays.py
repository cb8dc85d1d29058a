"""Pickled weights of an archive as safetensors; of a pickle, NumPy arrays alone are ever made."""

import hashlib
import io
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from stremn.errors import InputError

Array = NDArray[np.float32]

# The three names that an array's pickle asks for; NumPy 2 writes the first one with an underscore.
MAKE_ARRAY = np.zeros(0).__reduce__()[0]  # type: ignore[index]
ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): MAKE_ARRAY,
    ("numpy._core.multiarray", "_reconstruct"): MAKE_ARRAY,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _ArraysAlone(pickle.Unpickler):
    """Any other name in a pickle is refused before it is looked up."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ADMITTED:
            raise InputError(f"expected NumPy arrays alone, found {module}.{name}: nothing of it was run")
        return ADMITTED[module, name]


def read_arrays(content: bytes, where: str) -> dict[str, Array]:
    """Weights of a pickle of nested dicts and lists of arrays, under PyTorch's names and in its order.

    Args:
        content: the pickle; compare its checksum first.
        where: what errors call it.

    Returns:
        Name → float32 array. A name is the path in the pickle, its last part ``weight`` (two or more
        dimensions) or ``bias``. Kernels (height, width, in, out) become (out, in, height, width).

    Raises:
        InputError: it asks for anything but arrays, cannot be read, or holds something else.
    """
    try:
        tree = _ArraysAlone(io.BytesIO(content)).load()
        found = {name: np.ascontiguousarray(array) for name, array in _leaves(tree, ())}
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    except Exception as error:  # a pickle can fail in any way
        raise InputError(f"expected pickled NumPy arrays in {where}, found: {type(error).__name__}") from None
    if not found:
        raise InputError(f"expected pickled NumPy arrays in {where}, found none")
    return found


def _leaves(tree: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Array]]:
    """The arrays of nested dicts and lists, renamed and transposed."""
    if isinstance(tree, dict | list | tuple):
        for key, inner in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from _leaves(inner, (*path, str(key)))
        return
    if not isinstance(tree, np.ndarray) or tree.dtype != np.float32:
        raise InputError(f"expected float32 arrays, found {getattr(tree, 'dtype', type(tree).__name__)}")
    kind = "weight" if tree.ndim > 1 else "bias"
    yield ".".join((*path[:-1], kind)), tree.transpose(3, 2, 0, 1) if tree.ndim == 4 else tree


def keep_arrays(folder: Path, path: str, sha256: str, name: str) -> int:
    """Of an unpacked archive, keep the arrays of one pickle alone, as safetensors; all else is removed.

    Args:
        folder: where it was unpacked.
        path: of the pickle, below it.
        sha256: of the pickle.
        name: of the file that is kept, in ``folder``.

    Returns:
        its bytes.

    Raises:
        InputError: there is no such pickle, it is another one, or holds more than arrays.
    """
    content = (folder / path).read_bytes() if (folder / path).is_file() else b""
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise InputError(f"expected {path} with SHA-256 {sha256[:8]}…, found {found[:8]}…: it was not opened")
    arrays = save(read_arrays(content, path))
    shutil.rmtree(folder)
    folder.mkdir()
    return (folder / name).write_bytes(arrays)
