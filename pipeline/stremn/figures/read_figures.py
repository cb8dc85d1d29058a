"""Where an object is read in the memory (STM Fig. 5)."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from stremn.figures.style import MAP, VERMILION, new_figure, show
from stremn.inference.read_maps import ReadMaps

COLUMNS = 7  # pictures side by side, the query among them
SEEN = (0.1, 0.8)  # how opaque a heat map is where nothing is read, and where most is


def read_figure(
    frames: np.ndarray,
    masks: np.ndarray,
    maps: ReadMaps,
    *,
    most: int = 13,
    title: str = "Where the object is read (STM Fig. 5)",
) -> Figure:
    """The query with the object's area outlined, and each kept frame with its heat map.

    frames: uint8 (T, H, W, 3); masks: ids (T, H, W); maps: of the same clip, see ``inference.read_maps``; most:
    kept frames shown, those that are read most.
    """
    height, width = frames.shape[1:3]
    shown = sorted(sorted(range(len(maps.frames)), key=lambda k: -maps.share[k])[:most])
    rows = -(-(1 + len(shown)) // COLUMNS)
    columns = max(3, -(-(1 + len(shown)) // rows))
    cell = min(1.9, 12.0 / columns)
    left_out = len(maps.frames) - len(shown)
    figure = new_figure(
        title,
        f"Red: the object's area in frame {maps.query}. The attention of the pixels inside it is added up over "
        "the memory; above each kept frame its share. White: the object there. See whether the read falls on "
        "the object, and which of its views is used most. Colours follow the square root."
        + (f" Left out: {left_out} kept frames that are read less." if left_out else ""),
        1.0 + cell * columns,
        0.5 + rows * (cell * height / width + 0.25),
    )
    grid = np.ravel(figure.subplots(rows, columns, squeeze=False))
    for axes in grid[1 + len(shown) :]:
        axes.set_axis_off()
    show(grid[0], frames[maps.query], f"query: frame {maps.query}")
    _outline(grid[0], masks[maps.query] == maps.object_id, VERMILION, 2.0)
    norm = PowerNorm(0.5, 0, 100 * float(maps.maps.max()))
    for axes, k in zip(grid[1:], shown, strict=False):
        held = maps.frames[k]
        show(axes, _grey(frames[held]), f"frame {held}: {100 * maps.share[k]:.0f} %")
        _heat(axes, 100 * maps.maps[k], norm, maps.extent)
        _outline(axes, masks[held] == maps.object_id, "white", 1.0)
    bar = figure.colorbar(ScalarMappable(norm, MAP), ax=grid.tolist(), shrink=0.85, pad=0.01, aspect=14)
    bar.set_label("attention per position, %", fontsize=8.5)
    bar.ax.tick_params(labelsize=8)
    return figure


def _heat(axes: Axes, heat: np.ndarray, norm: PowerNorm, extent: tuple[float, float, float, float]) -> None:
    """A map (h, w) over a picture whose first pixel has its centre at 0."""
    least, most = SEEN
    left, right, bottom, top = (edge - 0.5 for edge in extent)
    axes.imshow(
        heat,
        cmap=MAP,
        norm=norm,
        alpha=least + (most - least) * np.ma.getdata(norm(heat)),
        extent=(left, right, bottom, top),
        interpolation="nearest",
    )


def _outline(axes: Axes, area: np.ndarray, tone: str, thick: float) -> None:
    """The border of a boolean area (H, W) where there is one, and the axes at the picture's own edges."""
    if area.any():
        around = np.pad(area, 1).astype(float)
        rows, columns = (np.arange(-1, length + 1) for length in area.shape)
        axes.contour(columns, rows, around, [0.5], colors=[tone], linewidths=thick)
    height, width = area.shape
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def _grey(frame: np.ndarray) -> np.ndarray:
    """A frame without its colours, uint8 (H, W)."""
    return (frame @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
