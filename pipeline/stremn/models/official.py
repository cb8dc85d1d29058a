"""The officially released weights of STM and STCN, read into our networks.

A release is one PyTorch file with a dictionary of tensors (a "state dict"). It is read with
``weights_only=True``: a file that would run code is refused. Every tensor of the file must find its place,
and every place its tensor, of the same shape. Names may all start with ``module.``.
"""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stremn.errors import InputError
from stremn.models.checkpoints import load_model, read_meta
from stremn.models.registry import build_model
from stremn.models.vos import VOSNetwork

PREFIX = "module."
COUNTER = "num_batches_tracked"  # of BatchNorm: not used in evaluation, absent from old files
SHOWN = 3  # names in an error message

Names = Sequence[tuple[str, str]]

LAYERS = (("layer1.", "res2."), ("layer2.", "res3."), ("layer3.", "res4."))
STM_NAMES: Names = (
    *((f"{own}.{ours}", f"{released}.{theirs}") for own, released in (
        ("query_encoder", "Encoder_Q"), ("memory_encoder", "Encoder_M")) for ours, theirs in LAYERS),
    ("query_encoder.", "Encoder_Q."),
    ("memory_encoder.", "Encoder_M."),
    ("query_mean", "Encoder_Q.mean"),
    ("query_std", "Encoder_Q.std"),
    ("memory_mean", "Encoder_M.mean"),
    ("memory_std", "Encoder_M.std"),
    ("query_key.", "KV_Q_r4.Key."),
    ("query_value.", "KV_Q_r4.Value."),
    ("memory_key.", "KV_M_r4.Key."),
    ("memory_value.", "KV_M_r4.Value."),
    ("decoder.enter.", "Decoder.convFM."),
    ("decoder.block.", "Decoder.ResMM."),
    *((f"decoder.refine.{i}.{ours}", f"Decoder.{step}.{theirs}") for i, step in enumerate(("RF3", "RF2"))
      for ours, theirs in (("skip.", "convFS."), ("skip_block.", "ResFS."), ("block.", "ResMM."))),
    ("decoder.predict.", "Decoder.pred2."),
)  # fmt: skip
STCN_NAMES: Names = (
    ("key_encoder.layer1.", "key_encoder.res2."),
    ("key_encoder.", "key_encoder."),
    ("value_encoder.", "value_encoder."),
    ("key.", "key_proj.key_proj."),
    ("query_value.", "key_comp."),
    ("fuser.enter.", "value_encoder.fuser.block1."),
    ("fuser.leave.", "value_encoder.fuser.block2."),
    ("fuser.attention.squeeze.", "value_encoder.fuser.attention.ChannelGate.mlp.1."),
    ("fuser.attention.excite.", "value_encoder.fuser.attention.ChannelGate.mlp.3."),
    ("fuser.attention.spatial.", "value_encoder.fuser.attention.SpatialGate.spatial.conv."),
    ("compress.", "decoder.compress."),
    *((f"widen.{i}.{ours}", f"decoder.{step}.{theirs}") for i, step in enumerate(("up_16_8", "up_8_4"))
      for ours, theirs in (("skip.", "skip_conv."), ("block.", "out_conv."))),
    ("predict.", "decoder.pred."),
)  # fmt: skip
NAMES: dict[str, Names] = {"stm": STM_NAMES, "stcn": STCN_NAMES}
"""Our prefixes and the release's; the first that fits a name counts."""

STACKED = {
    "memory_encoder.conv1.weight": (
        "Encoder_M.conv1.weight",
        "Encoder_M.conv1_m.weight",
        "Encoder_M.conv1_o.weight",
    )
}
"""STM's three first convolutions, added up, are one on image, mask and the others' masks side by side."""


def is_released_format(path: Path) -> bool:
    """Whether a file starts like one of ``torch.save`` (zip archive or pickle)."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(4)
    return start == b"PK\x03\x04" or start[:1] == b"\x80"


def load_official(path: Path, system: str) -> tuple[VOSNetwork, dict[str, Any]]:
    """The released network of a system with the weights of ``path``, in evaluation mode, and its description.

    Args:
        path: file of ``torch.save``: a dictionary of tensors.
        system: ``stm`` or ``stcn``.

    Raises:
        InputError: a system without a release, a file that is something else or holds code, and tensors
            that are missing, left over or misshapen.
    """
    if system not in NAMES:
        raise InputError(f"expected released weights of {' or '.join(NAMES)}, found system {system!r}")
    released = read_tensors(path)
    model = build_model(system, {})
    model.load_state_dict(renamed(released, model.state_dict(), system, str(path)))
    meta = {"system": system, "fields": {}, "trained": {"official": path.name}}
    return model.eval(), meta


def load_network(path: Path, system: str) -> tuple[VOSNetwork, dict[str, Any]]:
    """Weights of a system, ours (safetensors) or the release's, whichever the file is.

    Raises:
        InputError: see ``load_official`` and ``checkpoints.load_model``; weights of another system or task.
    """
    if system in NAMES and path.is_file() and not _is_safetensors(path):
        return load_official(path, system)
    meta = read_meta(path)
    if meta["system"] != system or meta.get("task", "segmentation") != "segmentation":
        found = f"{meta['system']!r} for {meta.get('task', 'segmentation')}"
        raise InputError(f"expected weights of system {system!r} for segmentation in {path}, found {found}")
    return load_model(path)


def _is_safetensors(path: Path) -> bool:
    """Whether a file starts with the length of a JSON header and its first brace."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a released file by name, without a leading ``module.``.

    Raises:
        InputError: not there, not a dictionary of tensors, damaged, or with code in it.
    """
    if not path.is_file():
        raise InputError(f"expected weights at {path}, found no file there")
    if not is_released_format(path):
        start = path.read_bytes()[:512].lstrip().lower()
        found = "a web page" if start.startswith(b"<") else "an empty file" if not start else "another format"
        raise InputError(
            f"expected weights saved by torch.save at {path}, found {found}: download the file itself"
        )
    _check_growth(path)
    try:
        found_there = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the parser of a foreign file stumbles over
        raise InputError(_unreadable(path, error)) from error
    tensors = isinstance(found_there, Mapping) and found_there and all(
        isinstance(k, str) and isinstance(v, Tensor) for k, v in found_there.items()
    )  # fmt: skip
    if not tensors:
        kind = type(found_there).__name__
        raise InputError(
            f"expected a dictionary of named tensors in {path}, found {kind} with something else"
        )
    prefixed = all(name.startswith(PREFIX) for name in found_there)
    return {name.removeprefix(PREFIX) if prefixed else name: v for name, v in found_there.items()}


def _check_growth(path: Path) -> None:
    """InputError where a zip archive is compressed, which ``torch.save`` never does: it may grow without end."""
    try:
        with zipfile.ZipFile(path) as archive:
            grown = sum(entry.file_size for entry in archive.infolist())
    except Exception:  # no zip archive, or a damaged one: PyTorch says what is wrong
        return
    if grown > path.stat().st_size:
        raise InputError(
            f"expected weights as torch.save writes them in {path}, found an archive that grows to {grown >> 20} MB: "
            "download the released file"
        )


def renamed(
    released: Mapping[str, Tensor], own: Mapping[str, Tensor], system: str, where: str
) -> dict[str, Tensor]:
    """A state dict of ours from released tensors; ``own`` gives names and shapes.

    Raises:
        InputError: missing, left-over or misshapen tensors, by name.
    """
    parts = {name: released_names(name, system) for name in own}
    expected = {part for several in parts.values() for part in several}
    left = sorted(released.keys() - expected)
    missing = sorted(n for n in expected - released.keys() if not n.endswith(COUNTER))
    if missing or left:
        raise InputError(
            f"weights of {system!r} in {where} do not fit: missing {_some(missing)}, left over {_some(left)}"
        )
    return {name: _placed(released, parts[name], own[name], where) for name in own}


def released_names(name: str, system: str) -> tuple[str, ...]:
    """The release's name of one of our tensors; several where ours holds several."""
    if system == "stm" and name in STACKED:
        return STACKED[name]
    prefixes = NAMES[system]
    return (next(theirs + name[len(ours) :] for ours, theirs in prefixes if name.startswith(ours)),)


def _placed(released: Mapping[str, Tensor], parts: Sequence[str], own: Tensor, where: str) -> Tensor:
    """The tensor for one place of ours: one of the release, or several stacked along the input channels."""
    if parts[0] not in released:
        return own
    widths = [own.shape[1] - len(parts) + 1, *[1] * (len(parts) - 1)] if len(parts) > 1 else []
    for i, part in enumerate(parts):
        shape = (own.shape[0], widths[i], *own.shape[2:]) if widths else tuple(own.shape)
        if tuple(released[part].shape) != shape:
            found = tuple(released[part].shape)
            raise InputError(f"weight {part!r} in {where}: expected shape {shape}, found {found}")
    return torch.cat([released[p] for p in parts], 1) if widths else released[parts[0]]


def _some(names: Sequence[str]) -> str:
    if not names:
        return "nothing"
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(repr(name) for name in names[:SHOWN]) + more


def _unreadable(path: Path, error: Exception) -> str:
    words = " ".join(str(error).split())
    if "weights_only" in words or "Weights only" in words:
        blamed = words.partition("GLOBAL ")[2].split(" ")[0] or words.partition("WeightsUnpickler error: ")[2]
        return (
            f"expected nothing but tensors in {path}, found a pickle that may run code ({blamed[:80]}); "
            "it was not run: use the released file"
        )
    reason = f"{type(error).__name__}: {words[:120]}"
    return (
        f"expected weights saved by torch.save at {path}, found a damaged file ({reason}): download it again"
    )
