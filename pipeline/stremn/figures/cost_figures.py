"""Cost against video length: time per frame, peak memory, slots."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from stremn.figures.style import colour, marker, new_axes, new_figure, shared_legend

PANELS = {
    "seconds_per_frame": ("time per frame", "milliseconds", 1e3),
    "peak_bytes": ("peak memory", "MiB", 2.0**-20),
    "slots": ("slots in use", "slots", 1.0),
}


def cost_figure(
    systems: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    title: str = "Cost against the length of the video",
) -> Figure:
    """Up to three panels over the video length, logarithmic.

    systems: label → ``frames`` and any of ``seconds_per_frame``, ``peak_bytes``, ``slots``, each a
    list along ``frames``; for example from ``cost.json``.
    """
    shown = [name for name in PANELS if any(name in rows for rows in systems.values())]
    figure = new_figure(
        title,
        "Each point is one run over a video of that length. A flat line is constant cost; a straight rise "
        "on these logarithmic axes is growth with the length.",
        3.1 * len(shown) + 0.6,
        3.4,
    )
    panels = new_axes(figure, 1, len(shown))
    for axes, name in zip(panels, shown, strict=True):
        heading, unit, scale = PANELS[name]
        for i, (label, rows) in enumerate(systems.items()):
            if name in rows:
                values = scale * np.asarray(rows[name], float)
                axes.plot(
                    rows["frames"], values, color=colour(i), marker=marker(i), ms=5, lw=1.5, label=label
                )
        axes.set(xlabel="frames of the video", ylabel=unit, xscale="log", yscale="log")
        _plain_ticks(axes)
        axes.set_title(heading, fontsize=10)
        axes.grid(True, which="major", color="#E5E5E5", lw=0.6)
    shared_legend(figure, panels)
    return figure


def _plain_ticks(axes: Axes) -> None:
    """10, 20, 50 … instead of powers of ten."""
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


def step_time_figure(
    systems: Mapping[str, Sequence[float]],
    *,
    window: int = 25,
    title: str = "Time of each frame along one stream",
) -> Figure:
    """Running median of the seconds each frame took. systems: label → seconds (frames,)."""
    figure = new_figure(
        title,
        f"Running median over {window} frames, for one long stream. See whether a frame costs more the "
        "later it comes.",
    )
    (axes,) = new_axes(figure)
    for i, (label, seconds) in enumerate(systems.items()):
        values = 1e3 * np.asarray(seconds, float)
        size = min(window, len(values))
        smooth = np.median(np.lib.stride_tricks.sliding_window_view(values, size), axis=1)
        axes.plot(np.arange(len(smooth)) + size // 2, smooth, color=colour(i), lw=1.5, label=label)
    axes.set(xlabel="frame of the stream", ylabel="milliseconds", ylim=(0, None))
    axes.legend(frameon=False, fontsize=8.5)
    return figure
