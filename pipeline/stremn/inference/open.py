"""``stremn.open_stream``: a system, its weights and a rule by name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from stremn.errors import InputError
from stremn.inference.multiscale_stream import MultiScaleStream
from stremn.inference.stream import Stream
from stremn.memory import POLICIES
from stremn.models.checkpoints import shipped_checkpoint
from stremn.models.official import load_network
from stremn.models.registry import SYSTEMS
from stremn.tasks.rules import rule_for


def needs_update_keys() -> set[str]:
    """Rules that compare update keys, which STM and STCN do not have."""
    return {name for name, entry in POLICIES.items() if entry.update_keys}


def open_stream(
    system: str = "stremn",
    checkpoint: str | Path | None = None,
    policy: str | None = None,
    slots: int = 6,
    device: str = "cpu",
    *,
    every: int = 5,
    protect_first: bool | None = None,
    protect_previous: bool = False,
    per_object: bool = False,
    fusion: str = "network",
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    size: int | None = None,
    trace: bool = True,
    seed: int = 0,
    precision: str = "float32",
) -> Stream:
    """Start segmenting a video.

    Args:
        system: entry of ``models.registry.SYSTEMS``.
        checkpoint: weights, ours or the officially released file of ``stm`` or ``stcn``; None: the small
            checkpoint that comes with the package.
        policy: entry of ``memory.POLICIES``; None: the system's own rule.
        slots: K, where the rule has a fixed number.
        device: ``cpu``, ``cuda``, …
        every: period of the rule ``every_n`` and of the rules on single features, in frames.
        protect_first, protect_previous, per_object: see ``memory.Policy``; protect_first None: the
            rule's own.
        fusion: see ``memory.Policy``; ``none`` leaves a network's fusion module out.
        scales, flip: passes at other sizes and mirrored ones, averaged (STReMN-MS); see
            ``inference.multiscale``. ``inference.multiscale.SCALES`` with ``flip`` is the paper's setting.
        size: shorter side in pixels at which frames are looked at; None: as they come.
        trace: record what happens in the memory.
        seed: of the random rules.
        precision: of the convolutions: ``float32``, ``bfloat16``, ``float16`` (CUDA), or ``auto``, the best
            that the device has. Memory and read are in float32.

    Raises:
        InputError: an unknown name, a checkpoint of another system, a device that is not there.
    """
    if system not in SYSTEMS:
        raise InputError(f"expected a system of {', '.join(SYSTEMS)}, found {system!r}: choose one")
    rule = rule_for(
        SYSTEMS[system],
        policy,
        slots=slots,
        every=every,
        protect_first=protect_first,
        protect_previous=protect_previous,
        per_object=per_object,
        fusion=fusion,
    )
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"expected a CUDA device for device={device!r}, found none; use device='cpu'")
    path = shipped_checkpoint(system) if checkpoint is None else Path(checkpoint)
    network, meta = load_network(path, system)
    settings: dict[str, Any] = {
        "device": device, "size": size, "trace": trace, "seed": seed, "precision": precision
    }  # fmt: skip
    if tuple(scales) == (1.0,) and not flip:
        return Stream(network, rule, meta, **settings)
    return MultiScaleStream(network, rule, meta, scales=scales, flip=flip, **settings)
