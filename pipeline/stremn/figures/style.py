"""One look for all figures: readable colours, a title, and a caption that says what to see.

Colours are those of Okabe and Ito (2008), told apart by all common kinds of colour vision.
"""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from stremn.display import let_notebooks_draw
from stremn.figures.overlays import draw_overlay
from stremn.files import replacing

BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
)
GREY, INK = "#8C8C8C", "#333333"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, INK, GREY)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
OBJECT_COLOURS = np.array(
    [[0, 158, 115], [230, 159, 0], [86, 180, 233], [204, 121, 167], [240, 228, 66]], np.uint8
)
MAP = "cividis"


def colour(index: int) -> str:
    """The colour of the index-th system; they repeat after eight."""
    return COLOURS[index % len(COLOURS)]


def marker(index: int) -> str:
    """The marker of the index-th system, so that colour never carries a difference alone."""
    return MARKERS[index % len(MARKERS)]


def new_figure(title: str, caption: str, width: float = 7.0, height: float = 3.6) -> Figure:
    """An empty figure with a title above and a caption below. width, height: inches, caption excluded."""
    let_notebooks_draw()
    lines = textwrap.wrap(caption, max(20, int(width * 15.5)))
    below = 0.19 * len(lines) + 0.12 if lines else 0.0
    figure = Figure(figsize=(width, height + below), facecolor="white")
    share = below / (height + below)
    figure.set_layout_engine(ConstrainedLayoutEngine(rect=(0, share, 1, 1 - share)))
    figure.suptitle(title, fontsize=12, color=INK)
    figure.text(0.012, 0.04 / (height + below), "\n".join(lines), fontsize=8.5, color="#555555", va="bottom")
    return figure


def new_axes(figure: Figure, rows: int = 1, columns: int = 1, **options: Any) -> list[Axes]:
    """Axes of a grid, row by row, without the top and right lines."""
    axes = np.ravel(figure.subplots(rows, columns, **options)).tolist()
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.tick_params(labelsize=9)
    return axes


def legend(axes: Axes, **options: Any) -> None:
    """A small legend without a frame, only where there is something to tell apart."""
    if axes.get_legend_handles_labels()[1]:
        axes.legend(**{"frameon": False, "fontsize": 8.5, **options})


def overlay(frame: np.ndarray, ids: np.ndarray | None) -> np.ndarray:
    """A frame, uint8 (H, W, 3) or (H, W), with its objects (H, W) in the colours of figures; uint8 (H, W, 3)."""
    image = np.repeat(frame[..., None], 3, axis=2) if frame.ndim == 2 else frame
    return image if ids is None else draw_overlay(image, ids, OBJECT_COLOURS)


def show(axes: Axes, image: np.ndarray, label: str = "", **options: Any) -> None:
    """A picture without ticks, its label above; grey images are drawn from 0 (black) to their type's top."""
    if image.ndim == 2:
        top = 255 if image.dtype == np.uint8 else 1
        options = {"cmap": "gray", "vmin": 0, "vmax": top, **options}
    axes.imshow(image, interpolation="nearest", **options)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if label:
        axes.set_title(label, fontsize=8.5, color=INK, pad=3)


def spread(count: int, most: int) -> list[int]:
    """At most ``most`` indices of 0…count − 1, evenly spread, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()


def save(figure: Figure, path: Path, dots: int = 140) -> Path:
    """Write the figure under a temporary name, then rename it. The suffix chooses png, svg or pdf."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as scratch:
        figure.savefig(scratch, format=path.suffix.lstrip("."), dpi=dots)
    return path


def shared_legend(figure: Figure, panels: Sequence[Axes]) -> None:
    """One legend for all panels, between the title and them."""
    found: dict[str, Artist] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    if not found:
        return
    height = figure.get_figheight()
    columns = min(len(found), max(1, int(figure.get_figwidth() / 2)))
    rows = -(-len(found) // columns)
    engine = figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        left, bottom, width, share = engine.get()["rect"]
        engine.set(rect=(left, bottom, width, share - (0.08 + 0.2 * rows) / height))
    figure.legend(
        found.values(),
        found.keys(),
        loc="upper center",
        bbox_to_anchor=(0.5, 1 - 0.25 / height),
        ncols=columns,
        frameon=False,
        fontsize=8.5,
    )
