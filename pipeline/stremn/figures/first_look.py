"""One moment of a stream in one picture: the frame, what it was read from, and what was overwritten."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stremn.evaluation.traces import Step, TraceLike, tracks
from stremn.figures.style import GREEN, VERMILION, new_figure, overlay, show

WIDTH = 12.5  # inches
CAPTION = (
    "Left: the frame with its mask. Above: the memory as this frame found it, with the share of the "
    "attention that each slot received (read) and its similarity to the frame (score, Eq. 1); the template "
    "to be overwritten is framed in vermilion. Below: the memory afterwards; the slot that took in the frame "
    "is framed in green."
)


def first_look(frames: np.ndarray, ids: np.ndarray, trace: TraceLike, frame: int) -> Figure:
    """The stream at one frame.

    frames: uint8 (T, H, W, 3); ids: object ids (T, H, W); trace: of the stream; frame: 0…T − 1.
    """
    steps = tracks([trace])[0]
    step = steps[frame]
    slots = max(len(s["held"]) for s in steps)
    cell = WIDTH / (slots + 2.2)
    shape = frames.shape[1] / frames.shape[2]
    title = f"Frame {frame}: {happened(steps, frame)}"
    figure = new_figure(title, CAPTION, WIDTH, 0.5 + 2 * (cell * shape + 0.5))
    grid = figure.add_gridspec(2, slots + 1, width_ratios=[2.2, *[1] * slots])
    show(figure.add_subplot(grid[:, 0]), overlay(frames[frame], ids[frame]), f"frame {frame}")
    written = step["evicted_slot"] if step["action"] == "evict" else len(step["held"]) - 1
    for slot in range(slots):
        before, after = figure.add_subplot(grid[0, slot + 1]), figure.add_subplot(grid[1, slot + 1])
        _template(before, frames, ids, step["held_before"], slot, _numbers(step, slot))
        _template(after, frames, ids, step["held"], slot, "")
        if slot == step["evicted_slot"]:
            before.spines[:].set(visible=True, color=VERMILION, linewidth=3)
        if slot == written and step["action"] != "skip":
            after.spines[:].set(visible=True, color=GREEN, linewidth=3)
    return figure


def happened(steps: list[Step], frame: int) -> str:
    """What the memory did at a frame, and the last eviction up to it, in words."""
    now = {"append": "stored in a free slot", "skip": "not stored", "evict": "stored"}[steps[frame]["action"]]
    evictions = [s for s in steps[: frame + 1] if s["evicted_frame"] is not None]
    if not evictions:
        return f"{now}; nothing evicted yet"
    last = evictions[-1]
    age = last["frame"] - last["evicted_frame"]
    which = "this frame" if last["frame"] == frame else f"frame {last['frame']}"
    return (
        f"{now}; last eviction: {which} replaced frame {last['evicted_frame']} "
        f"({age} frame{'s' * (age != 1)} old) in slot {last['evicted_slot'] + 1}"
    )


def _numbers(step: Step, slot: int) -> str:
    """Read mass and score of a slot, as far as there are any."""
    parts = []
    for label, name, form in (("read", "read_mass", "{:.0%}"), ("score", "scores", "{:.2f}")):
        values = step[name]
        if values is not None and slot < len(values) and values[slot] is not None:
            parts.append(f"{label} " + form.format(values[slot]))
    return "\n" + " · ".join(parts) if parts else ""


def _template(
    axes: Axes, frames: np.ndarray, ids: np.ndarray, held: list[int], slot: int, numbers: str
) -> None:
    if slot >= len(held) or held[slot] < 0:
        show(axes, np.full((*frames.shape[1:3], 3), 240, np.uint8), f"slot {slot + 1}: free")
        return
    kept = held[slot]
    show(axes, overlay(frames[kept], ids[kept]), f"slot {slot + 1}: frame {kept}{numbers}")
