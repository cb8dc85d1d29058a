"""What a saved stream must hold so that it can go on: nothing that a file says of itself is believed.

Letters: B clips, O objects, K slots, h w feature map.
"""

from typing import Annotated, Any

import torch
from pydantic import Field, TypeAdapter
from torch import Tensor

from stremn.inference.multiscale import Passes
from stremn.memory import POLICIES, Policy
from stremn.models.vos import VOSNetwork
from stremn.settings import Settings

POLICY, MOST_SLOTS = TypeAdapter(Policy), 10_000
Size = tuple[int, int]


class Place(Settings):
    """Where a saved stream is in its video."""

    object_ids: tuple[Annotated[int, Field(ge=1)], ...]
    """Ids, in the order in which they appeared."""
    removed: tuple[int, ...] = ()
    """Those that are no longer segmented."""
    frame: int = Field(ge=0)
    """Number of the next frame."""
    frame_size: Size | None
    """(H, W) of the frames; None before the first."""
    memory_sizes: tuple[Size, ...] = ()
    """(h, w) of each scale's memory."""
    memory_size: Size = (0, 0)
    """That of the one scale of older files."""


def saved_policy(fields: Any) -> Policy:
    """A memory rule from its fields; ValueError where they are others."""
    policy: Policy = POLICY.validate_python(vars(Policy(**fields)))
    if policy.name not in POLICIES or (policy.slots or 0) > MOST_SLOTS:
        raise ValueError(f"a rule {policy.name!r} with {policy.slots} slots")
    return policy


def first_memories(
    passes: Passes, network: VOSNetwork, objects: int, generator: torch.Generator
) -> list[dict[str, Tensor]]:
    """What the memories of a fresh stream of these objects hold after a first, tiny frame: what saved ones are like."""
    if not objects:
        return [{} for _ in passes.memories]
    side, device = network.stride, generator.device
    yes = torch.ones(1, objects, dtype=torch.bool, device=device)
    with torch.inference_mode():
        frame, masks = (torch.zeros(1, n, side, side, device=device) for n in (3, objects))
        passes.step(frame, masks, 0, seen_BO=~yes, given_BO=yes, generator=generator)
    return [memory.state.tensors() for memory in passes.memories]


def check_held(held: dict[str, Tensor], like: dict[str, Tensor], size: tuple[int, int]) -> None:
    """ValueError where saved tensors (B, O or 1, K, …) are not what a memory of this network and rule holds."""
    for name in sorted({*held, *like}):
        if name not in held or name not in like:
            raise ValueError(f"the tensor {name} is {'missing' if name in like else 'not known'}")
        found, wanted = held[name], list(like[name].shape)
        wanted[2] = held["frame_index"].shape[2]
        if found.ndim == 5 and name != "looks":
            wanted[3] = size[0] * size[1]
        one_key = [wanted[0], 1, *wanted[2:]] if name == "keys" else wanted
        if found.dtype != like[name].dtype or list(found.shape) not in (wanted, one_key):
            raise ValueError(f"{name} is {tuple(found.shape)} of {found.dtype}, not {tuple(wanted)}")
