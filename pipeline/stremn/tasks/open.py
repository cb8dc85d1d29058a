"""``stremn.open_stream``: a system, its weights and a rule by name."""

from importlib.resources import files
from pathlib import Path

import torch

from stremn.errors import InputError
from stremn.memory import make_policy
from stremn.models.checkpoints import load_model, read_meta
from stremn.models.registry import SYSTEMS
from stremn.tasks.stream import Stream

DEFAULT_RULE = {"stremn": "learned"}


def shipped_checkpoint(system: str = "stremn") -> Path:
    """The small checkpoint that comes with the package.

    Raises:
        InputError: there is none for this system.
    """
    path = Path(str(files("stremn") / "weights" / f"{system}.safetensors"))
    if not path.is_file():
        raise InputError(
            f"no checkpoint comes with the package for system {system!r}; name a checkpoint file"
        )
    return path


def open_stream(
    system: str = "stremn",
    checkpoint: str | Path | None = None,
    policy: str | None = None,
    slots: int = 6,
    device: str = "cpu",
    *,
    every: int = 5,
    protect_first: bool = True,
    protect_previous: bool = False,
    per_object: bool = False,
    size: int | None = None,
    trace: bool = True,
    seed: int = 0,
) -> Stream:
    """Start segmenting a video.

    Args:
        system: entry of ``models.registry.SYSTEMS``.
        checkpoint: weights; None: the small checkpoint that comes with the package.
        policy: entry of ``memory.POLICIES``; None: the system's own rule.
        slots: K, where the rule has a fixed number.
        device: ``cpu``, ``cuda``, …
        every: period of the rule ``every_n``, in frames.
        protect_first, protect_previous, per_object: see ``memory.Policy``.
        size: shorter side in pixels at which frames are looked at; None: as they come.
        trace: record what happens in the memory.
        seed: of the random rules.

    Raises:
        InputError: an unknown name, a checkpoint of another system, a device that is not there.
    """
    if system not in SYSTEMS:
        raise InputError(f"expected a system of {', '.join(SYSTEMS)}, found {system!r}")
    rule = make_policy(
        policy or DEFAULT_RULE[system],
        slots=slots,
        every=every,
        protect_first=protect_first,
        protect_previous=protect_previous,
        per_object=per_object,
    )
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"expected a CUDA device for device={device!r}, found none; use device='cpu'")
    path = shipped_checkpoint(system) if checkpoint is None else Path(checkpoint)
    meta = read_meta(path)
    if meta["system"] != system or meta.get("task", "segmentation") != "segmentation":
        found = f"{meta['system']!r} for {meta.get('task', 'segmentation')}"
        raise InputError(f"expected weights of system {system!r} for segmentation in {path}, found {found}")
    network, meta = load_model(path)
    return Stream(network, rule, meta, device=device, size=size, trace=trace, seed=seed)
