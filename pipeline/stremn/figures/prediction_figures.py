"""Figures of video prediction: metrics along the predicted frames, and the frames themselves."""

import textwrap
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stremn.figures.style import (
    INK,
    ORANGE,
    colour,
    marker,
    new_axes,
    new_figure,
    shared_legend,
    show,
    spread,
)

BETTER = {"MSE": "lower", "MAE": "lower", "LPIPS": "lower", "PSNR": "higher", "SSIM": "higher"}
LETTER = 0.085  # inches across, at the size of the labels
UNITS = {"PSNR": "dB", "MSE": "summed over a frame", "MAE": "summed over a frame"}


def curves_figure(
    metrics: Mapping[str, Mapping[str, np.ndarray]],
    *,
    observed: int = 0,
    title: str = "Quality of the predicted frames",
) -> Figure:
    """One panel for each metric. metrics: name → system → value of every predicted frame (P,).

    observed: number of observed frames, so that the axis counts the frames of the clip.
    """
    columns = 2 if len(metrics) == 4 else min(3, len(metrics))
    rows = -(-len(metrics) // columns)
    figure = new_figure(
        title,
        "Mean over the test clips at each predicted frame. The distance to the baseline is what the "
        "network adds; see whether it holds as the prediction feeds on itself.",
        0.6 + 3.0 * columns,
        0.6 + 2.6 * rows,
    )
    panels = new_axes(figure, rows, columns)
    for axes in panels[len(metrics) :]:
        axes.set_axis_off()
    for axes, (name, systems) in zip(panels, metrics.items(), strict=False):
        for i, (label, values) in enumerate(systems.items()):
            frames = observed + 1 + np.arange(len(values))
            axes.plot(
                frames, values, color=colour(i), marker=marker(i), markevery=0.15, ms=4.5, lw=1.5, label=label
            )
        unit = UNITS.get(name)
        axes.set(xlabel="frame of the clip", ylabel=f"{name}, {unit}" if unit else name)
        axes.set_title(f"{name} ({BETTER[name]} is better)" if name in BETTER else name, fontsize=9.5)
    shared_legend(figure, panels)
    return figure


def prediction_strip(
    observed: np.ndarray,
    truth: np.ndarray,
    predicted: Mapping[str, np.ndarray],
    *,
    observed_shown: int = 4,
    shown: int = 8,
    title: str = "Observed, true and predicted frames",
) -> Figure:
    """True frames above, one row for each prediction below, the observed frames to their left.

    observed: (N, H, W) and truth, predicted: (P, H, W), uint8 or float in [0, 1].
    """
    left, right = spread(len(observed), observed_shown), spread(len(truth), shown)
    rows = {"true": truth, **predicted}
    columns = len(left) + len(right)
    cell = 12.0 / columns
    tall = cell * truth.shape[1] / truth.shape[2]
    figure = new_figure(
        title,
        "Left of the line: observed frames. Right: the true future above, the predictions below it. Look "
        "for what blurs, fades or falls out of step.",
        12.5,
        0.6 + (tall + 0.08) * len(rows),
    )
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for r, (label, frames) in enumerate(rows.items()):
        for c, t in enumerate(left):
            if r == 0:
                show(grid[r, c], observed[t], f"t = {t + 1}")
            else:
                grid[r, c].set_axis_off()
        for c, t in enumerate(right, len(left)):
            show(grid[r, c], frames[t], f"t = {len(observed) + t + 1}" if r == 0 else "")
        if r == 0:
            grid[r, len(left)].set_ylabel(label, fontsize=9, color=INK)
        else:
            _label(grid[r, len(left) - 1], label, cell * len(left))
        grid[r, len(left)].spines["left"].set(visible=True, color=ORANGE, linewidth=3)
    return figure


def _label(axes: Axes, label: str, width: float) -> None:
    """A row's label, in lines of ``width`` inches that end at the right edge of an empty field."""
    lines = textwrap.fill(label, max(8, int(width / LETTER)))
    axes.text(
        0.95, 0.5, lines, transform=axes.transAxes, ha="right", va="center", fontsize=9, color=INK
    ).set_in_layout(False)
