"""Changes of a memory in the middle of a video: without a slot, another template in a slot, fewer slots."""

from collections.abc import Mapping

import torch
from torch import Tensor

from stremn.errors import InputError
from stremn.memory import Memory, MemoryState, Policy, make_memory
from stremn.memory.state import EMPTY


def dropped(memory: Memory, policy: Policy, slot: int, held: list[int]) -> Memory:
    """The memory without a slot; ``held`` names the slots (the trace's ``held_before``).

    Raises:
        InputError: no such slot, or the only one.
    """
    check_slot(slot, held)
    if len(held) < 2:
        raise InputError("expected another slot to read from, found only this one: drop it in a later frame")
    tensors = memory.state.tensors()
    if isinstance(memory.state, MemoryState):
        keep = torch.arange(memory.slots) != slot
    else:
        keep = tensors["frame_index"][0, 0] != held[slot]
    return make_memory(policy, {k: t[:, :, keep].clone() for k, t in tensors.items()}, memory.state.size)


def swapped(memory: Memory, policy: Policy, slot: int, template: Mapping[str, Tensor]) -> Memory:
    """The memory with another template (each tensor of the state, without the axis of slots) in a slot.

    Raises:
        InputError: no such slot, a memory of single features, or a template without what the rule needs.
    """
    check_slot(slot, list(range(memory.slots)))
    if not isinstance(memory.state, MemoryState):
        raise InputError(
            "expected a rule that keeps whole templates for a swap, found one of single features"
        )
    tensors = {k: t.clone() for k, t in memory.state.tensors().items()}
    if tensors.keys() - template.keys():
        raise InputError(
            f"expected a template with all that the rule {policy.name!r} compares, found one kept without it: "
            "swap in a frame that a slot holds"
        )
    for name, tensor in tensors.items():
        tensor[:, :, slot] = template[name]
    return make_memory(policy, tensors, memory.state.size)


def fitted(memory: Memory, policy: Policy) -> Memory:
    """The memory under another policy: where it has fewer slots, the oldest go that are not given masks.

    Raises:
        InputError: from slots to single features, or back, or to a rule that needs more than is held.
    """
    state = memory.state
    if not memory.slots:
        return make_memory(policy)
    if isinstance(state, MemoryState) != (policy.entry.unit == "slot"):
        raise InputError(
            f"expected a rule of the same kind (slots or single features) from here on, found {policy.name!r}: "
            "change it at frame 0"
        )
    asked = {"covers": policy.entry.sees_objects, "looks": policy.entry.judged}
    tensors = {k: t.clone() for k, t in state.tensors().items() if asked.get(k, True)}
    missing = any(asked[name] and name not in tensors for name in asked)
    if policy.entry.unit == "feature":  # which hold update keys only where their rule compares them
        width = tensors["update_keys"].shape[-1]
        missing = policy.entry.update_keys and not width
        tensors["update_keys"] = tensors["update_keys"][..., : width * policy.entry.update_keys]
    if missing:
        raise InputError(
            f"expected a rule that compares what the memory holds from here on, found {policy.name!r}, which needs "
            "more of each template: change it at frame 0"
        )
    most = policy.slots
    if isinstance(state, MemoryState) and most is not None and memory.slots > most:
        held, given = state.frame_index[0].amax(0), state.given[0].any(0)
        order = sorted(range(memory.slots), key=lambda k: (not bool(given[k]), -int(held[k])))
        keep = sorted(order[:most])
        tensors = {k: t[:, :, keep] for k, t in tensors.items()}
    elif most is not None and not isinstance(state, MemoryState):
        room = most * state.size[0] * state.size[1]
        tensors = {k: t[:, :, -room:] for k, t in tensors.items()}
    return make_memory(policy, tensors, state.size)


def as_template(written: MemoryState, objects: int) -> dict[str, Tensor]:
    """The only slot of a memory, without the axis of slots."""
    if written.slots != 1 or written.frame_index.shape[1] != objects:
        raise ValueError("expected one slot that holds all objects")
    return {k: t[:, :, 0] for k, t in written.tensors().items()}


def check_slot(slot: int, held: list[int]) -> None:
    """An InputError where the slot holds nothing."""
    if not 0 <= slot < len(held) or held[slot] == EMPTY:
        raise InputError(f"expected a slot of 0 to {len(held) - 1} that holds a frame, found {slot}")
