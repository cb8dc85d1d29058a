"""What if: runs that differ from another one from some frame on."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from stremn.data.clips import Pixels
from stremn.errors import InputError
from stremn.explore import edits
from stremn.explore.engine import Engine
from stremn.explore.frozen import FrozenPolicy
from stremn.explore.frozen import freeze as frozen_too
from stremn.explore.runs import Run
from stremn.explore.viewer import MemoryViewer
from stremn.memory import POLICIES, Memory, MemoryBuffer, Policy, make_policy
from stremn.models.vos import VOSNetwork
from stremn.tasks.rules import usable_rules

SLOTS = 6  # where no rule before had a fixed number


def changed(
    viewer: MemoryViewer,
    run: Run,
    frame: int,
    *,
    drop: int | None = None,
    freeze: int | None = None,
    swap: tuple[int, int] | None = None,
    rule: str | None = None,
    slots: int | None = None,
    default_slots: int | None = None,
) -> Run:
    """A run that differs from ``frame`` on, not yet computed; its history has the memory that it goes on with.

    See ``Session.what_if`` for the other arguments. ``default_slots``: K where the rule so far has none.
    """
    if not 0 <= frame < run.done:
        raise InputError(f"expected a frame of 0 to {run.done - 1}, found {frame}")
    run = run.at(frame)
    assert run.policy is not None
    policy, words, held = run.policy, [], run.step(frame).held_before
    by_hand = drop is not None
    memory, generator = viewer.memory(run, frame)
    if rule is not None or slots is not None:
        policy = other_policy(viewer.engine.network, policy, rule, slots or policy.slots or default_slots)
        words.append(POLICIES[policy.name].title + (f", {policy.slots} slots" if policy.slots else ""))
    if swap is not None:
        memory = edits.swapped(memory, memory.policy, swap[0], _template(viewer.engine, run, frame, swap[1]))
        words.append(f"frame {swap[1]} in slot {swap[0] + 1}")
        by_hand = held[swap[0]] != swap[1]
        held = [swap[1] if slot == swap[0] else f for slot, f in enumerate(held)]
    if freeze is not None:
        if policy.entry.unit != "slot":
            raise InputError(
                "expected a rule that keeps whole templates to freeze one, found single features"
            )
        edits.check_slot(freeze, held)
        if held[freeze] or not policy.protect_first:  # the first frame is protected anyway
            policy = frozen_too(policy, held[freeze])
        words.append(f"frame {held[freeze]} frozen")
    if drop is not None:
        memory = edits.dropped(memory, memory.policy, drop, held)
        words.append(f"without frame {held[drop]}")
    if words and policy == run.policy and not by_hand:
        raise InputError(
            f"expected a change, found what this run has from frame {frame} on: it would be equal in every mask"
        )
    name = (" and ".join(words) or "unchanged") + f" from frame {frame}"
    other = _begun(run.branch(name, frame, policy), edits.fitted(memory, policy), generator)
    other.by_hand = run.by_hand or by_hand or frame > 0 or isinstance(policy, FrozenPolicy)
    return other


def corrected(viewer: MemoryViewer, run: Run, masks: Mapping[int, Pixels]) -> Run:
    """A run that is given more masks, not yet computed; before the first of them it agrees with ``run``.

    Raises:
        InputError: nothing new among them.
    """
    assert run.given is not None
    new = run.given.without_known(masks)
    if not new:
        raise InputError(
            "expected a mask that this run is not given already, found none: draw or correct one"
        )
    given = run.given.joined(new)
    first = min(*new, run.done)
    run = run.at(first)
    assert run.policy is not None
    memory, generator = viewer.memory(run, first)
    frames = ", ".join(map(str, sorted(new)))
    name = f"frame {frames} corrected" + ("" if run.parent is None else f" ({run.name})")
    return _begun(run.branch(name, first, run.policy, given), memory, generator)


def _begun(run: Run, memory: Memory, generator: torch.Generator) -> Run:
    """A branch that knows the memory with which it begins."""
    assert run.history is not None
    run.history.keep(run.start, memory, generator)
    return run


def other_policy(network: VOSNetwork, policy: Policy, rule: str | None, slots: int | None) -> Policy:
    """Another rule or K, the other settings as they are; frozen templates stay frozen."""
    name, usable = rule or policy.name, usable_rules(network)
    if name in POLICIES and name not in usable:
        raise InputError(f"expected a rule of {', '.join(usable)} for this system, found {name!r}")
    made = make_policy(
        name,
        slots=slots or policy.slots or SLOTS,
        protect_previous=policy.protect_previous,
        every=policy.every,
        keep_latest=policy.keep_latest,
    )
    if made.entry.protect_first == policy.entry.protect_first:
        made = replace(made, protect_first=policy.protect_first)
    for frame in policy.frozen if isinstance(policy, FrozenPolicy) else ():
        made = frozen_too(made, frame)
    return made


def _template(engine: Engine, run: Run, frame: int, other: int) -> dict[str, Tensor]:
    """The template of an earlier frame for the objects known before ``frame``.

    Where the run no longer has it, it is encoded again from the frame and its mask.
    """
    if not 0 <= other < frame:
        raise InputError(f"expected an earlier frame than {frame} to put into the slot, found {other}")
    assert run.masks is not None and run.given is not None
    objects = run.given.objects(frame)
    before: Run | None = run
    while before is not None:
        kept = None if before.history is None else before.history.template(other, len(objects))
        if kept is not None:
            return kept
        before = before.parent
    single = MemoryBuffer(make_policy("newest", slots=1, protect_first=False))
    engine.remember(other, run.masks[other], objects, single)
    return edits.as_template(single.state, len(objects))
