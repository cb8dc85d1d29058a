"""Contact sheets: many small pictures on one figure, masks in colour over the frames."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stremn.data.batches import ClipBatch
from stremn.data.clips import Clip
from stremn.figures.overlays import draw_overlay
from stremn.figures.style import new_figure, show

Pixels = NDArray[np.uint8]


def clip_sheet(clips: Sequence[Clip], title: str, columns: int = 8, masks: bool = True) -> Figure:
    """One row per clip: ``columns`` evenly spaced frames, objects coloured."""
    rows = []
    for clip in clips:
        shown = np.linspace(0, len(clip) - 1, min(columns, len(clip))).round().astype(int)
        tiles = [
            (f"frame {t}", draw_overlay(clip.frames[t], clip.masks[t]) if masks else clip.frames[t])
            for t in shown
        ]
        rows.append((f"{clip.name}\n{clip.objects} object{'s' * (clip.objects != 1)}", tiles))
    return grid(rows, title)


def image_sheet(images: Sequence[tuple[Pixels, Pixels]], title: str, columns: int = 8) -> Figure:
    """Static images (H, W, 3) with their masks (H, W), ``columns`` to a row."""
    tiles = [(f"{n}: {mask.max()} obj.", draw_overlay(image, mask)) for n, (image, mask) in enumerate(images)]
    return grid([("", tiles[i : i + columns]) for i in range(0, len(tiles), columns)], title)


def batch_sheet(batch: ClipBatch, title: str) -> Figure:
    """A training batch: one row per clip, all its frames."""
    frames = (batch.frames.permute(0, 1, 3, 4, 2).numpy() * 255).round().astype(np.uint8)
    masks = batch.masks.numpy()
    rows = []
    for number, (clip, ids) in enumerate(zip(frames, masks, strict=True)):
        tiles = [
            (f"t = {t}", draw_overlay(frame, mask))
            for t, (frame, mask) in enumerate(zip(clip, ids, strict=True))
        ]
        rows.append((f"clip {number}\n{int(batch.present[number].sum())} present", tiles))
    return grid(rows, title)


def video_sheet(videos: Sequence[tuple[str, NDArray]], title: str, columns: int = 10) -> Figure:
    """Grey videos (T, H, W) uint8, or (T, 1, H, W) in [0, 1]: one row each, evenly spaced frames."""
    rows = []
    for name, video in videos:
        shown = np.linspace(0, len(video) - 1, min(columns, len(video))).round().astype(int)
        level = 255 if np.issubdtype(video.dtype, np.floating) else 1
        tiles = [(f"frame {t}", np.asarray(video[t]).squeeze() * level) for t in shown]
        rows.append((name.replace("_", "\n"), tiles))
    return grid(rows, title)


def grid(
    rows: Sequence[tuple[str, Sequence[tuple[str, NDArray]]]], title: str, inches: float = 1.15
) -> Figure:
    """Rows of (label, tiles of (caption, picture)); pictures are RGB uint8 or grey 0..255."""
    if not rows:
        raise ValueError("nothing to draw")
    columns = max(len(tiles) for _, tiles in rows)
    figure = Figure(figsize=(inches * columns + 1.1, (inches + 0.22) * len(rows) + 0.5), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, (label, tiles) in zip(axes, rows, strict=True):
        for axis in line:
            axis.set_axis_off()
        for axis, (caption, picture) in zip(line, tiles, strict=False):
            axis.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axis.set_title(caption, fontsize=7, pad=2)
        line[0].text(-0.12, 0.5, label, transform=line[0].transAxes, ha="right", va="center", fontsize=7)
    return figure


def captioned_sheet(
    rows: Sequence[tuple[str, Sequence[tuple[str, Pixels]]]], title: str, caption: str, inches: float = 2.2
) -> Figure:
    """Rows of (label, tiles of (name, picture)) for a page to choose from; pictures are RGB uint8 of one size.

    Args:
        rows: the labels stand at the left, the names above the pictures.
        title: above all.
        caption: below all: what to see.
        inches: width of a picture.
    """
    (height, width), columns = rows[0][1][0][1].shape[:2], len(rows[0][1])
    figure = new_figure(
        title, caption, 1.5 + inches * columns, 0.5 + len(rows) * (inches * height / width + 0.25)
    )
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, (label, tiles) in zip(axes, rows, strict=True):
        for axis, (name, picture) in zip(line, tiles, strict=True):
            show(axis, picture, name)
        line[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9, linespacing=1.5)
    return figure
