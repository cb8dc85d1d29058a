"""Weights on disk: safetensors with a description of the network that they belong to.

Nothing that could run code is ever read: a checkpoint holds tensors and JSON.
"""

import json
import warnings
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, overload

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor, nn

from stremn.errors import DAMAGED, InputError, short_reason
from stremn.files import parse_json, replacing
from stremn.models.registry import SYSTEMS, N, build_model
from stremn.models.vos import VOSNetwork

FORMAT = "stremn-model 1"
LARGEST = 8192  # setting of a network in a file, such as a number of channels


def to_bytes(model: nn.Module, meta: dict[str, Any]) -> bytes:
    """A checkpoint as bytes, the same for the same weights; ``meta`` needs ``system`` and ``fields`` (``build_model``)."""
    weights = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    return save(weights, metadata={FORMAT: json.dumps(meta)})  # one entry: several are written in any order


def save_model(path: Path, model: nn.Module, meta: dict[str, Any]) -> None:
    """Write a checkpoint; the old file stays if writing fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as scratch:
        scratch.write_bytes(to_bytes(model, meta))


def read_meta(path: Path) -> dict[str, Any]:
    """The description in a checkpoint: system, fields and how it was trained.

    Raises:
        InputError: no such file, or not a checkpoint of ours.
    """
    if not path.is_file():
        raise InputError(f"expected a checkpoint at {path}, found no file there")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
    except SafetensorError as error:
        raise InputError(f"expected a safetensors checkpoint at {path}, found: {error}") from error
    described = header.get("meta") if header.get("format") == FORMAT else header.get(FORMAT)  # older, present
    if described is None:
        raise InputError(f"expected a checkpoint saved by stremn ({FORMAT}) at {path}, found another file")
    meta = parse_json(described, "the description of a network", str(path))
    if not (
        isinstance(meta, dict)
        and isinstance(meta.get("fields"), dict)
        and isinstance(meta.get("system"), str)
    ):
        raise InputError(f"expected a description with system and fields in {path}, found something else")
    return meta


def shipped_checkpoint(name: str = "stremn") -> Path:
    """The small checkpoint that comes with the package: of a VOS system by its name, or ``predictor``.

    Raises:
        InputError: there is none of this name.
    """
    path = Path(str(files("stremn") / "weights" / f"{name}.safetensors"))
    if not path.is_file():
        raise InputError(f"expected weights of {name!r} in the package, found none: name a checkpoint file")
    return path


@overload
def load_model(path: Path) -> tuple[VOSNetwork, dict[str, Any]]: ...
@overload
def load_model(path: Path, systems: Mapping[str, type[N]]) -> tuple[N, dict[str, Any]]: ...
def load_model(path: Path, systems: Mapping[str, Any] = SYSTEMS) -> tuple[nn.Module, dict[str, Any]]:
    """A network with its weights, in evaluation mode on the CPU, and its description.

    Raises:
        InputError: not a checkpoint of one of these systems, or weights that do not fit.
    """
    meta = read_meta(path)
    model = fitted_network(meta, load(path.read_bytes()), str(path), systems)
    return model.eval(), meta


@overload
def fitted_network(meta: Mapping[str, Any], weights: dict[str, Tensor], where: str) -> VOSNetwork: ...
@overload
def fitted_network(
    meta: Mapping[str, Any], weights: dict[str, Tensor], where: str, systems: Mapping[str, type[N]]
) -> N: ...
def fitted_network(
    meta: Mapping[str, Any], weights: dict[str, Tensor], where: str, systems: Mapping[str, Any] = SYSTEMS
) -> nn.Module:
    """The network that a file describes with the weights of the file, which are compared before memory is taken.

    Raises:
        InputError: no description of a network of these systems, or weights that do not fit.
    """
    try:
        with torch.device("meta"), warnings.catch_warnings(action="ignore"):  # nothing is copied: as is meant
            load_weights(described_network(meta, systems), weights, where)
        model = described_network(meta, systems)
    except InputError:
        raise
    except DAMAGED as error:
        raise InputError(
            f"expected the description of a network in {where}, found other settings ({short_reason(error)})"
        ) from error
    load_weights(model, weights, where)
    return model


@overload
def described_network(meta: Mapping[str, Any]) -> VOSNetwork: ...
@overload
def described_network(meta: Mapping[str, Any], systems: Mapping[str, type[N]]) -> N: ...
def described_network(meta: Mapping[str, Any], systems: Mapping[str, Any] = SYSTEMS) -> nn.Module:
    """The network that a description names, without looking for pretrained weights: its own follow."""
    fields = {**meta["fields"], **({"pretrained": False} if "pretrained" in meta["fields"] else {})}
    if any(isinstance(value, int) and value > LARGEST for value in fields.values()):
        raise InputError(
            f"expected settings of a network of at most {LARGEST}, found more in its description"
        )
    network: nn.Module = build_model(meta["system"], fields, systems)
    return network


def load_weights(model: nn.Module, weights: dict[str, Tensor], where: str) -> None:
    """Load every tensor, and complain in one line about a missing, extra or misshapen one."""
    own = model.state_dict()
    for name, tensor in weights.items():
        if name in own and tensor.shape != own[name].shape:
            raise InputError(
                f"weight {name!r} in {where}: expected shape {tuple(own[name].shape)}, found {tuple(tensor.shape)}"
            )
    missing, extra = model.load_state_dict(weights, strict=False)
    if missing or extra:
        raise InputError(
            f"weights in {where} do not fit: missing {sorted(missing)[:3]}, not known {sorted(extra)[:3]}"
        )


def load_shared(model: nn.Module, weights: dict[str, Tensor], where: str) -> list[str]:
    """Load the tensors that fit by name and shape, for a variant that starts from another network.

    Returns:
        Names of the model's tensors that keep the values they had.

    Raises:
        InputError: none fits.
    """
    own = model.state_dict()
    fits = {n: t for n, t in weights.items() if n in own and own[n].shape == t.shape}
    if not fits:
        raise InputError(
            f"expected weights in {where} that this network has too, such as {min(own)}, found none: start it "
            "from a network of its own system"
        )
    model.load_state_dict(fits, strict=False)
    return sorted(own.keys() - fits.keys())
