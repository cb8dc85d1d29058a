"""Figures of what a memory did (STReMN Sec. 4.3): distances, lives, evictions, scores, read mass."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from stremn.evaluation import traces as counting
from stremn.evaluation.traces import TraceLike
from stremn.figures.style import (
    BLUE,
    GREY,
    INK,
    MAP,
    ORANGE,
    SKY,
    VERMILION,
    colour,
    legend,
    marker,
    new_axes,
    new_figure,
)

_SLOT_COLOURS = (INK, BLUE, SKY, ORANGE, VERMILION, "#CC79A7", "#009E73", GREY)


def _number_slots(axis: Axis, slots: int) -> None:
    """Whole numbers on an axis of slots, every one of them while they are few."""
    if slots <= 12:
        axis.set_ticks(range(slots))
    else:
        axis.set_major_locator(MaxNLocator(integer=True))


def distance_figure(
    shares: Mapping[str, np.ndarray],
    *,
    title: str = "How far back the memory reaches",
    longest: int | None = None,
) -> Figure:
    """d[t] for several memories (STReMN Fig. 5). shares: label → ``traces.distance_share``."""
    figure = new_figure(
        title,
        "Share of the templates that lie t frames before the query; the first and the previous frame are "
        "left out, each curve sums to 1. See how much weight remains far from the query.",
    )
    share_axes, tail_axes = new_axes(figure, 1, 2, width_ratios=(3, 2))
    for i, (label, share) in enumerate(shares.items()):
        times = np.arange(len(share))
        style: dict[str, Any] = {
            "color": colour(i),
            "marker": marker(i),
            "markersize": 3.5,
            "lw": 1.4,
            "markevery": 0.08,
        }
        share_axes.plot(times[2:], share[2:], label=label if len(share) else f"{label}: none", **style)
        tail_axes.plot(times[2:], share[::-1].cumsum()[::-1][2:], **style)
    share_axes.set(xlabel="t, frames before the query", ylabel="share of templates", ylim=(0, None))
    tail_axes.set(xlabel="t, frames before the query", ylabel="share at least t back", ylim=(0, 1.02))
    for axes in (share_axes, tail_axes):
        axes.yaxis.set_major_formatter(PercentFormatter(1, 0 if axes is tail_axes else None))
        axes.set_xlim(0, longest)
    legend(share_axes)
    return figure


def lifetime_figure(trace: TraceLike, *, title: str = "How long each frame stays in the memory") -> Figure:
    """One bar for every stay in the memory, in the row of its slot."""
    lives = counting.lifetimes(trace)
    last = counting.tracks([trace])[0][-1]["frame"]
    slots = 1 + max(life.slot for life in lives)
    figure = new_figure(
        title,
        "A bar is one stored frame, from its writing to its eviction; orange bars are still there at the "
        "end. Long bars are memories the rule found worth keeping.",
        height=1.2 + (0.32 if slots <= 12 else 0.2) * min(slots, 24),
    )
    (axes,) = new_axes(figure)
    for life in lives:
        stays = life.end is None
        length = (last + 1 if life.end is None else life.end) - life.frame
        axes.barh(
            life.slot, length, left=life.frame, height=0.72, color=ORANGE if stays else SKY, edgecolor="white"
        )
        if length > 0.035 * (last + 1) and slots <= 24:
            axes.text(life.frame + 0.3, life.slot, str(life.frame), fontsize=7.5, va="center", color=INK)
    axes.set(xlabel="frame of the clip", ylabel="slot", xlim=(0, last + 1), ylim=(slots - 0.4, -0.6))
    _number_slots(axes.yaxis, slots)
    axes.legend(
        handles=[Patch(color=SKY, label="evicted later"), Patch(color=ORANGE, label="kept to the end")],
        frameon=False,
        fontsize=8.5,
        ncols=2,
        loc="lower right",
        bbox_to_anchor=(1, 1),
    )
    return figure


def eviction_figure(all_traces: Iterable[TraceLike], *, title: str = "What the memory gives up") -> Figure:
    """Evictions counted by slot and by the age of the evicted template."""
    all_traces = list(all_traces)
    by_slot, by_age = counting.evictions_by_slot(all_traces), counting.evictions_by_age(all_traces)
    figure = new_figure(
        title,
        f"{by_slot.sum()} evictions. Left: which slot was written over; a protected slot has none. Right: "
        "how old its template was; a tall bar at age 1 means that the previous frame is given up at once.",
    )
    left, right = new_axes(figure, 1, 2, width_ratios=(2, 3))
    left.bar(np.arange(len(by_slot)), by_slot, color=BLUE)
    left.set(xlabel="slot", ylabel="evictions")
    _number_slots(left.xaxis, len(by_slot))
    right.bar(np.arange(len(by_age)), by_age, width=1.0, color=VERMILION, edgecolor="white", linewidth=0.4)
    right.set(xlabel="age of the evicted template, frames", ylabel="evictions", xlim=(0, max(len(by_age), 2)))
    if len(by_age):
        middle = int(np.searchsorted(by_age.cumsum(), by_age.sum() / 2))
        right.axvline(middle, color=INK, lw=1, ls="--", label=f"median age: {middle}")
    legend(right)
    for axes in (left, right):
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylim(0, max(1.0, axes.get_ylim()[1]))
    return figure


def score_figure(trace: TraceLike, *, title: str = "Similarity of each new frame to the slots") -> Figure:
    """Eq. 1 for every slot over time as a map, the slot then written over marked."""
    frames, scores = counting.slot_matrix(trace, "scores")
    known = np.isfinite(scores).any(axis=1)
    figure = new_figure(
        title,
        "Colour: similarity of the incoming frame to the slot's template (Eq. 1). Dots: the slot that was "
        "written over. White: no score yet, or a slot that may not be evicted.",
        height=1.5 + 0.26 * min(scores.shape[1], 16),
    )
    (axes,) = new_axes(figure)
    axes.set(xlabel="frame of the clip", ylabel="slot")
    if not known.any():
        axes.text(0.5, 0.5, "this rule looks at no similarity", ha="center", transform=axes.transAxes)
        axes.set(xticks=[], yticks=[])
        return figure
    shown = np.where(counting.evictable_matrix(trace), scores, np.nan)
    edges = np.append(frames, frames[-1] + 1) - 0.5
    slots = np.arange(scores.shape[1] + 1) - 0.5
    image = axes.pcolormesh(edges, slots, shown.T, cmap=MAP)
    figure.colorbar(image, ax=axes, label="similarity", pad=0.01)
    chosen = [
        (step["frame"], step["evicted_slot"])
        for step in counting.tracks([trace])[0]
        if step["evicted_slot"] is not None
    ]
    if chosen:
        axes.plot(*zip(*chosen, strict=True), "o", color=VERMILION, mec="white", ms=5, label="written over")
    _number_slots(axes.yaxis, scores.shape[1])
    axes.set_xlim(frames[known][0] - 0.5, edges[-1])
    axes.invert_yaxis()
    legend(axes, loc="lower right", bbox_to_anchor=(1, 1))
    return figure


def read_mass_figure(trace: TraceLike, *, title: str = "Where the read looks") -> Figure:
    """Share of the attention per slot: over time, and on average."""
    frames, mass = counting.slot_matrix(trace, "read_mass")
    seen = np.isfinite(mass).any(axis=1)
    frames, mass = frames[seen], mass[np.ix_(seen, np.isfinite(mass).any(axis=0))]
    slots = mass.shape[1]
    few = slots <= len(_SLOT_COLOURS)
    figure = new_figure(
        title,
        "Left: share of the attention that each slot receives when a frame is read; they sum to 1. Right: "
        "mean of the reads since the slot exists"
        + (", against an equal share (dashed)" if few else "")
        + ". See whether old slots are still read.",
    )
    left, right = new_axes(figure, 1, 2, width_ratios=(3, 1))
    if few:
        left.stackplot(frames, np.nan_to_num(mass).T, colors=_SLOT_COLOURS[:slots], lw=0.3, ec="white")
        left.set(ylabel="share of the attention", ylim=(0, 1), xlim=(frames[0], frames[-1]))
        left.yaxis.set_major_formatter(PercentFormatter(1))
        right.axvline(1 / slots, color=INK, lw=1, ls="--")
    else:
        top = float(np.nanquantile(mass, 0.99))
        image = left.pcolormesh(
            frames, np.arange(slots), mass.T, cmap=MAP, vmin=0, vmax=top, shading="nearest"
        )
        figure.colorbar(image, ax=left, label="share of the attention", pad=0.01, extend="max")
        left.set(ylabel="slot")
        left.invert_yaxis()
    left.set(xlabel="frame that is read")
    right.barh(np.arange(slots), np.nanmean(mass, axis=0), color=_SLOT_COLOURS[:slots] if few else BLUE)
    right.set(xlabel="mean share", ylabel="slot", ylim=(slots - 0.4, -0.6))
    right.xaxis.set_major_formatter(PercentFormatter(1, 0))
    _number_slots(right.yaxis, slots)
    return figure


def distinctness_figure(
    values: Mapping[str, np.ndarray],
    *,
    highlight: str | None = None,
    title: str = "How different the kept templates are",
    descriptor: str = "thumbnails",
) -> Figure:
    """Distinctness per rule, most distinct above. values: rule → (clips,) from ``distinctness``."""
    order = sorted(values, key=lambda rule: float(np.nanmean(values[rule])))
    figure = new_figure(
        title,
        f"Mean cosine distance between the {descriptor} of the templates kept at the end; a dot is a clip, "
        "the bar their mean. Higher: more varied memories, not necessarily better ones.",
        height=1.2 + 0.34 * len(order),
    )
    (axes,) = new_axes(figure)
    for row, rule in enumerate(order):
        points = np.asarray(values[rule], float)
        points = points[np.isfinite(points)]
        axes.barh(
            row,
            points.mean() if len(points) else 0,
            color=BLUE if rule == highlight else "#C8C8C8",
            height=0.66,
        )
        offsets = row + np.linspace(-0.2, 0.2, len(points)) if len(points) > 1 else [row] * len(points)
        axes.plot(points, offsets, "o", color=INK, ms=3, alpha=0.6)
    axes.set(xlabel="mean pairwise cosine distance", yticks=range(len(order)), yticklabels=order)
    return figure
