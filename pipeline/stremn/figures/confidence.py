"""How far each object can be trusted along a video."""

from collections.abc import Collection, Sequence

from matplotlib.figure import Figure

from stremn.figures.style import GREY, colour, marker, new_axes, new_figure, shared_legend
from stremn.inference.confidence import LOST, Rating, lost_from

FEW = 60  # frames up to which each one has a marker


def confidence_figure(ratings: Sequence[Rating], removed: Collection[int] = ()) -> Figure:
    """A curve for each object over the frames of a video, and from where on it may be lost; see ``lost_from``."""
    figure = new_figure(
        "How far each object can be trusted",
        "Without truth: how sure the network is of the mask, times how alike its colours are to those where the mask "
        "was given (there it is 1). An object that stays below the dashed line may be lost: a cross marks from where on.",
        8.0,
    )
    (axes,) = new_axes(figure)
    lost = lost_from(ratings, removed)
    for index, number in enumerate(sorted({one.object for one in ratings})):
        own = [one for one in ratings if one.object == number]
        frames, values = [one.frame for one in own], [one.confidence for one in own]
        each = marker(index) if len(own) <= FEW else ""
        axes.plot(
            frames,
            values,
            linewidth=1.2,
            color=colour(index),
            marker=each,
            markersize=3,
            label=f"object {number}",
        )
        if number in lost:
            axes.plot(
                lost[number], values[frames.index(lost[number])], "x", color=colour(index), markersize=10
            )
    axes.axhline(LOST, color=GREY, linestyle="--", linewidth=1)
    axes.set(xlabel="frame", ylabel="confidence", ylim=(-0.03, 1.03))
    axes.margins(x=0.01)
    shared_legend(figure, [axes])
    return figure
