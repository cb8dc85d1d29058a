"""Figures of segmentation scores. All scores are shares in [0, 1], drawn as percentages."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from stremn.figures.style import (
    BLUE,
    GREY,
    INK,
    VERMILION,
    colour,
    legend,
    marker,
    new_axes,
    new_figure,
    overlay,
    show,
)

Spread = tuple[float, float, float]
"""Mean, lower and upper end of its interval."""


def rules_figure(
    results: Mapping[str, Sequence[float]],
    *,
    highlight: str | None = None,
    baselines: Sequence[str] = (),
    title: str = "J&F of each memory rule",
) -> Figure:
    """Bars sorted by the mean, best on top. results: label → (mean, low, high, …)."""
    order = sorted(results, key=lambda name: results[name][0])
    figure = new_figure(
        title,
        "Mean J&F over the test objects; whiskers: 95 % bootstrap interval over objects. Rules whose "
        "whiskers overlap widely are told apart by their paired difference, not here.",
        height=1.2 + 0.34 * len(order),
    )
    (axes,) = new_axes(figure)
    for row, name in enumerate(order):
        mean, low, high = (100 * value for value in results[name][:3])
        axes.barh(
            row,
            mean,
            height=0.66,
            color=BLUE if name == highlight else "#E4E4E4" if name in baselines else "#B9CBD9",
            hatch="///" if name in baselines else None,
            edgecolor="white",
            xerr=[[mean - low], [high - mean]],
            error_kw={"ecolor": INK, "elinewidth": 1.1, "capsize": 3},
        )
        axes.text(high + 0.8, row, f"{mean:.1f}", va="center", fontsize=8.5, color=INK)
    axes.set(xlabel="J&F, %", yticks=range(len(order)), yticklabels=order)
    axes.set_xlim(0, min(108, 100 * max(row[2] for row in results.values()) + 9))
    return figure


def difference_figure(
    gaps: Mapping[str, Sequence[float]], *, reference: str = "learned", title: str | None = None
) -> Figure:
    """Paired differences reference − rule with their intervals. gaps: label → (mean, low, high, …)."""
    order = sorted(gaps, key=lambda name: gaps[name][0])
    figure = new_figure(
        title or f"How far \u201c{reference}\u201d lies ahead of each rule",
        f"J&F of {reference} minus the rule's on the same objects, with 95 % intervals. Right of zero: "
        f"{reference} is better; a whisker across zero: no difference shown by these clips.",
        height=1.2 + 0.32 * len(order),
    )
    (axes,) = new_axes(figure)
    axes.axvline(0, color=INK, lw=1)
    for row, name in enumerate(order):
        mean, low, high = (100 * value for value in gaps[name][:3])
        tone = BLUE if low > 0 else VERMILION if high < 0 else GREY
        axes.errorbar(mean, row, xerr=[[mean - low], [high - mean]], fmt="o", color=tone, capsize=3, ms=5)
    axes.set(xlabel="difference in J&F, percentage points", yticks=range(len(order)), yticklabels=order)
    axes.set_ylim(-0.6, len(order) - 0.4)
    return figure


def slots_figure(
    points: Mapping[int, Sequence[float]],
    *,
    paper: Mapping[int, float] | None = None,
    paper_label: str = "STReMN Table 2, DAVIS 2017 test-dev",
    title: str = "J&F against the number of slots",
) -> Figure:
    """Mean J&F with its interval for each number of slots. paper: published values in [0, 1], own axis."""
    figure = new_figure(
        title,
        "Learned rule; whiskers: 95 % bootstrap interval over objects."
        + (" The paper's curve has its own axis and other data: compare the shapes only." if paper else ""),
    )
    (axes,) = new_axes(figure)
    slots = sorted(points)
    means, lows, highs = (np.array([100 * points[k][i] for k in slots]) for i in range(3))
    axes.errorbar(
        slots, means, yerr=[means - lows, highs - means], color=BLUE, marker="o", capsize=3, label="ours"
    )
    axes.set(xlabel="slots K", ylabel="J&F, % (ours)", xticks=slots)
    if paper:
        other = axes.twinx()
        other.spines["top"].set_visible(False)
        other.plot(sorted(paper), [100 * paper[k] for k in sorted(paper)], color=GREY, marker="s", ls="--")
        other.set_ylabel("J&F, % (paper)", color="#6A6A6A")
        axes.plot([], [], color=GREY, marker="s", ls="--", label=paper_label)
        axes.set_xticks(sorted({*slots, *paper}))
    legend(axes, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return figure


def mean_over_time(
    curves: Sequence[tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean over objects at each frame index: frames (N,), mean (N,), number of objects (N,).

    curves: for every object, its scored frames and their values.
    """
    last = max(int(frames[-1]) for frames, _ in curves)
    total, count = np.zeros(last + 1), np.zeros(last + 1, int)
    for frames, values in curves:
        total[frames] += values
        count[frames] += 1
    some = np.flatnonzero(count)
    return some, total[some] / count[some], count[some]


def time_figure(
    systems: Mapping[str, Sequence[tuple[np.ndarray, np.ndarray]]],
    *,
    measure: str = "J",
    smooth: int = 1,
    title: str | None = None,
) -> Figure:
    """Mean score of all objects over the frames of their clips.

    Args:
        systems: label → the curves of :func:`mean_over_time`.
        measure: its name.
        smooth: frames of the running mean.
        title: of the figure.
    """
    figure = new_figure(
        title or f"{measure} over time",
        "Mean over all objects scored at that frame"
        + (f", running mean over {smooth} frames" if smooth > 1 else "")
        + ". A falling line is drift; a gap that opens with time is what a better memory is worth.",
    )
    (axes,) = new_axes(figure)
    for i, (label, curves) in enumerate(systems.items()):
        frames, values, _ = mean_over_time(curves)
        kernel = np.ones(min(smooth, len(values)))
        weight = np.convolve(np.ones(len(values)), kernel, "same")
        values = np.convolve(values, kernel, "same") / weight
        axes.plot(
            frames,
            100 * values,
            color=colour(i),
            marker=marker(i),
            markevery=0.12,
            ms=4.5,
            lw=1.5,
            label=label,
        )
    axes.set(xlabel="frame of the clip", ylabel=f"{measure}, %", ylim=(0, 102))
    legend(axes, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    return figure


def distribution_figure(values: Mapping[str, np.ndarray], *, measure: str = "J") -> Figure:
    """STM Fig. 7: the scores of all objects in all frames, sorted. values: label → (N,) in [0, 1]."""
    figure = new_figure(
        f"Distribution of {measure}, sorted (STM Fig. 7)",
        f"Every object in every scored frame, worst first. A curve that leaves the floor further left has fewer "
        f"lost objects; above it, better contours. The dotted line: {measure} of a half.",
    )
    (axes,) = new_axes(figure)
    axes.axhline(50, color=GREY, lw=0.8, ls=":")
    for i, (label, scores) in enumerate(values.items()):
        share = np.linspace(0, 100, len(scores))
        axes.plot(
            share, 100 * np.sort(scores), color=colour(i), marker=marker(i), markevery=0.12, ms=4, label=label
        )
    axes.set(xlabel="objects × frames, %", ylabel=f"{measure}, %", xlim=(0, 100), ylim=(0, 102))
    legend(axes, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    return figure


def capacity_figure(
    points: Mapping[int, Sequence[float]],
    lines: Mapping[str, float],
    *,
    unit: str = "frames' worth of features",
) -> Figure:
    """AMM Fig. 6: J&F against the capacity of a feature memory.

    Args:
        points: capacity → (mean, low, high, …).
        lines: label → mean J&F of rules drawn for comparison.
    """
    figure = new_figure(
        "J&F against the capacity of the memory (AMM Fig. 6)",
        "Least-frequently-used removal of single features; whiskers: 95 % bootstrap interval over objects. "
        "AMM reports two points more from 2 to 4 frames on YouTube-VOS, and no numbers beside its curve.",
    )
    (axes,) = new_axes(figure)
    sizes = sorted(points)
    means, lows, highs = (np.array([100 * points[k][i] for k in sizes]) for i in range(3))
    axes.errorbar(
        sizes, means, yerr=[means - lows, highs - means], color=BLUE, marker="o", capsize=3, label="AMM"
    )
    for i, (label, mean) in enumerate(lines.items(), 1):
        axes.axhline(100 * mean, color=colour(i), ls="--", lw=1.2, label=label)
    axes.set(xlabel=f"capacity, {unit}", ylabel="J&F, %", xticks=sizes)
    legend(axes, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    return figure


def segmentation_strip(
    frames: np.ndarray,
    rows: Mapping[str, np.ndarray],
    *,
    at: Sequence[int],
    title: str = "Predicted masks",
) -> Figure:
    """Frames in columns, systems in rows, objects coloured in.

    frames: uint8 (T, H, W, 3). rows: label → ids (T, H, W), the truth among them. at: frame indices.
    """
    cell = min(1.7, 12.0 / len(at))
    tall = cell * frames.shape[1] / frames.shape[2]
    figure = new_figure(
        title,
        "One colour for each object, the same in all rows. Look for objects that swap colours or do not "
        "come back.",
        0.6 + cell * len(at),
        0.6 + (tall + 0.06) * len(rows),
    )
    grid = figure.subplots(len(rows), len(at), squeeze=False)
    for r, (label, ids) in enumerate(rows.items()):
        for c, t in enumerate(at):
            show(grid[r, c], overlay(frames[t], ids[t]), f"frame {t}" if r == 0 else "")
        grid[r, 0].set_ylabel(label, fontsize=8.5, color=INK)
    return figure
