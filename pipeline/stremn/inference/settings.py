"""Everything that can be set of a stream, as one frozen value. No PyTorch: the command line checks it early."""

from pathlib import Path
from typing import Any

from pydantic import Field

from stremn.settings import Settings

SCALES = (1.0, 1.15, 1.3, 1.5)
"""Scales of STReMN-MS (STReMN Table 3), used with ``flip``."""
MULTI_SCALE: dict[str, Any] = {"scales": SCALES, "flip": True}
"""The fields of STReMN-MS: ``open_stream(**MULTI_SCALE)``."""


class StreamSettings(Settings):
    """System, weights, memory rule and the way frames are processed."""

    system: str = "stremn"
    """Entry of ``models.registry.SYSTEMS``: ``stremn``, ``stm`` or ``stcn``."""
    checkpoint: Path | None = None
    """Weights: ours, or the officially released file of ``stm`` or ``stcn``; None: the small checkpoint that
    comes with the package."""
    policy: str | None = None
    """Memory rule, an entry of ``memory.POLICIES``; None: the plugin's, else the system's own."""
    plugin: Path | None = None
    """Python file with rules of one's own, see ``inference.plugin``."""
    slots: int = 6
    """K, where the rule has a fixed number."""
    every: int = 5
    """Period in frames of the rule ``every_n`` and of the rules on single features."""
    protect_first: bool | None = None
    """Never evict a template whose mask was given (the first frame); None: the rule's own choice."""
    protect_previous: bool = False
    """Never evict the latest template when the next one arrives."""
    per_object: bool = False
    """One eviction decision for each object instead of one per frame."""
    fusion: str = "network"
    """What happens to an evicted template's information, an entry of ``memory.fusion.SWITCHES``; ``none`` leaves
    a network's fusion module out."""
    scales: tuple[float, ...] = (1.0,)
    """Sizes at which each frame is processed, relative to ``size``; the results are averaged."""
    flip: bool = False
    """Process each frame mirrored, too."""
    size: int | None = Field(default=None, ge=1, le=16384)
    """Shorter side in pixels at which frames are processed; None: native size."""
    trace: bool = True
    """Record what happens in the memory."""
    seed: int = 0
    """Of the random rules."""
    precision: str = "float32"
    """Of the convolutions: ``float32``, ``bfloat16``, ``float16`` (CUDA), or ``auto``, the best that the device
    has. Memory and read are in float32."""
    device: str = "cpu"
    """Where to compute: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, …"""

    @property
    def several_views(self) -> bool:
        """Whether a frame is processed more than once."""
        return self.flip or self.scales != (1.0,)
