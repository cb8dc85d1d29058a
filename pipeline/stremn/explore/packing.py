"""What the browser is told: small JSON, and numbers as bytes.

T frames, K slots, O objects.
"""

import math
from typing import Any

import numpy as np
from matplotlib import colormaps

from stremn.evaluation import traces as counting
from stremn.explore.masks import Masks
from stremn.explore.runs import Run, summary
from stremn.explore.session import Session
from stremn.figures import style
from stremn.figures.browser import COLOURS
from stremn.memory import POLICIES

Buffers = list[bytes]
MOST_CELLS = 4_000_000  # of the table of read mass that is sent


def about(session: Session) -> tuple[dict[str, Any], Buffers]:
    """What stays the same: the video, the rules, the colours. Buffer: the colour map, uint8 (256, 3)."""
    height, width = session.pictures.size
    rules = session.rules() if session.network is not None else []
    fields = {
        "video": session.pictures.name,
        "frames": len(session.pictures),
        "height": height,
        "width": width,
        "truth": session.truth is not None,
        "can_run": session.can_run,
        "has_weights": session.network is not None,
        "size": session.size,
        "system": session.meta.get("system"),
        "rules": [
            {"name": name, "title": POLICIES[name].title, "fixed": POLICIES[name].fixed} for name in rules
        ],
        "slots": session.policy.slots if session.policy else None,
        "rule": session.policy.name if session.policy else None,
        "colours": COLOURS,
        "lines": list(style.COLOURS),
        "objects": ["#" + bytes(c).hex() for c in style.OBJECT_COLOURS.tolist()],
    }
    table = (np.asarray(colormaps[style.MAP](np.arange(256)))[:, :3] * 255).round().astype(np.uint8)
    return fields, [table.tobytes()]


def run_summary(session: Session, run: Run, number: int) -> dict[str, Any]:
    """A run in the list of runs; ``equal``: the number of an earlier one, all of whose masks are the same."""
    short = summary(run)
    whole = run.history is not None and run.done == len(session.pictures)
    equal = [n for n, r in enumerate(session.runs[:number]) if whole and _equal(run, r)]
    return {
        "number": number,
        "name": run.name,
        "start": run.start,
        "done": run.done,
        "inside": run.history is not None,
        "objects": run.objects,
        "rule": run.policy.name
        if run.policy
        else run.trace.about.get("policy") or run.trace.about.get("rule"),
        "slots": run.policy.slots if run.policy else run.trace.about.get("slots"),
        "room": _room(run),
        "given": [] if run.given is None else list(run.given.masks),
        "equal": equal[0] if equal else None,
        **{key: _number(short[key]) for key in ("j", "ms")},
        "kept": short["kept"],
        "most": short["most"],
    }


def _equal(run: Run, other: Run) -> bool:
    return isinstance(run.masks, Masks) and run.masks.same(other.masks)


def _room(run: Run) -> int | None:
    """K of a rule that fills K slots, one after the other; None for the others."""
    entry = run.policy.entry if run.policy else None
    return run.policy.slots if run.policy and entry and entry.fixed and entry.unit == "slot" else None


def whole_run(run: Run) -> tuple[dict[str, Any], Buffers]:
    """What the timeline draws.

    Buffers: lives int32 (n, 3) of frame, slot and end (−1: kept); read mass uint8 (T, K), 255 is all of it;
    J float32 (T, O + 1), the mean first; evictions int32 (m, 2) of frame and evicted frame.
    """
    done = run.done
    steps = [vars(step) for step in run.trace.steps[:done]]
    if not steps:
        return {"done": 0, "slots": 0, "objects": run.objects}, [b"", b"", b"", b""]
    lives = np.array(
        [(life.frame, life.slot, -1 if life.end is None else life.end) for life in counting.lifetimes(steps)],
        np.int32,
    ).reshape(-1, 3)
    slots = int(lives[:, 1].max(initial=0)) + 1
    mass = np.zeros((done, slots if done * slots <= MOST_CELLS else 0), np.uint8)
    if mass.size:
        _, values = counting.slot_matrix(steps, "read_mass")
        mass[:, : values.shape[1]] = (255 * np.nan_to_num(values[:, :slots])).round()
    j = np.array(run.j[:done], np.float32).reshape(done, -1)
    known = np.isfinite(j)
    mean = np.where(known.any(1), np.where(known, j, 0).sum(1) / np.maximum(known.sum(1), 1), np.nan)
    curves = np.concatenate([mean[:, None].astype(np.float32), j], 1)
    out = [(s["frame"], s["evicted_frame"]) for s in steps if s["evicted_frame"] is not None]
    out += [(s["frame"], -1) for s in steps if s["evicted_frame"] is None and s["action"] == "evict"]
    evictions = np.array(sorted(out), np.int32).reshape(-1, 2)
    fields = {"done": done, "slots": slots, "objects": run.objects}
    return fields, [lives.tobytes(), mass.tobytes(), curves.tobytes(), evictions.tobytes()]


def one_step(run: Run, frame: int, shown: int = 24) -> dict[str, Any]:
    """A frame's visit to the memory: its slots, at most ``shown`` of them, those that are read most."""
    step = run.step(frame)
    slots = [
        {
            "slot": slot,
            "frame": held,
            "age": frame - held,
            "mass": _at(step.read_mass, slot),
            "score": _at(step.scores, slot),
            "evictable": bool(_at(step.evictable, slot)),
            "next": slot == step.evicted_slot or bool(step.removed and _at(step.removed, slot)),
        }
        for slot, held in enumerate(step.held_before)
        if held >= 0
    ]
    most = sorted(slots, key=lambda s: -(s["mass"] or 0) - 2 * s["next"])[:shown]
    values = run.j[frame] if frame < len(run.j) else []
    return {
        "slots": sorted(most, key=lambda s: s["slot"]),
        "of": len(slots),
        "action": step.action,
        "evicted": step.evicted_frame,
        "j": [_number(v) for v in values],
    }


def _at(values: list[Any] | None, slot: int) -> Any:
    return values[slot] if values is not None and slot < len(values) else None


def _number(value: float) -> float | None:
    return round(value, 4) if isinstance(value, (int, float)) and math.isfinite(value) else None
