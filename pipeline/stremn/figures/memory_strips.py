"""Pictures of what a memory holds (STReMN Figs. 6 and 7)."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from stremn.figures.style import ORANGE, new_figure, overlay, show


def kept_strip(
    frames: np.ndarray,
    ids: np.ndarray | None,
    kept: Sequence[int],
    *,
    query: int | None = None,
    title: str = "Frames kept at the end of the clip",
) -> Figure:
    """The templates that are left, with their masks, and the last query.

    frames: uint8 (T, H, W, 3); ids: (T, H, W) or None; kept: frame indices, ``traces.kept_at_end``.
    """
    pictures = [(frame, f"frame {frame}" + (" (given)" if frame == 0 else "")) for frame in sorted(kept)]
    if query is not None:
        pictures.append((query, f"query {query}"))
    width = max(4.5, min(1.45 * len(pictures), 13.0))
    height = 0.5 + width / len(pictures) * frames.shape[1] / frames.shape[2]
    figure = new_figure(
        title,
        "The templates still in the memory after the last write, in order of time. See whether they show the "
        "objects in different poses, lights or places.",
        width,
        height,
    )
    for axes, (frame, label) in zip(np.ravel(figure.subplots(1, len(pictures))), pictures, strict=True):
        show(axes, overlay(frames[frame], None if ids is None else ids[frame]), label)
        if label.startswith("query"):
            axes.spines[:].set(visible=True, color=ORANGE, linewidth=2.5)
    return figure


def around_strip(
    frames: np.ndarray,
    ids: np.ndarray | None,
    kept: Sequence[int],
    *,
    columns: int = 14,
    title: str = "Kept frames within their clip",
) -> Figure:
    """The clip in evenly spread frames, those of the memory framed: what happened around it (Fig. 6)."""
    every = max(1, len(frames) // max(1, 2 * columns - len(kept)))
    chosen = sorted(set(range(0, len(frames), every)) | set(kept))
    rows = -(-len(chosen) // columns)
    cell = 11.0 / columns
    figure = new_figure(
        title,
        f"One frame in {every} of the clip, and all that the memory still holds (orange). See what changes "
        "between one kept frame and the next.",
        11.0,
        0.5 + rows * (cell * frames.shape[1] / frames.shape[2] + 0.24),
    )
    grid = np.ravel(figure.subplots(rows, columns, squeeze=False))
    for axes in grid[len(chosen) :]:
        axes.set_axis_off()
    for axes, frame in zip(grid, chosen, strict=False):
        show(axes, overlay(frames[frame], None if ids is None else ids[frame]), str(frame))
        if frame in kept:
            axes.spines[:].set(visible=True, color=ORANGE, linewidth=2.5)
    return figure
