"""A figure that follows sliders, in JupyterLab and in a page made of a notebook."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

from ipywidgets import HBox, Image, ValueWidget, VBox
from matplotlib.figure import Figure

DOTS = 100  # per inch


def picture(figure: Figure, dots: int = DOTS) -> bytes:
    """A figure as PNG."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=dots)
    return buffer.getvalue()


def live(draw: Callable[..., Figure], *, dots: int = DOTS, **controls: ValueWidget) -> VBox:
    """Controls above a figure that is drawn again whenever one of them changes.

    Args:
        draw: called with the controls' values by name, ``draw(frame=3, slots=6)``.
        dots: per inch.
        controls: widgets with a value, such as ``IntSlider(20, 0, 39, description="frame")``.

    The picture is an image widget, not captured output, so that a notebook with it also runs from top to
    bottom without a browser (captured output leaves nbclient waiting for the cell until its time limit).
    """
    screen = Image(format="png")

    def redraw(_: Any = None) -> None:
        screen.value = picture(draw(**{name: control.value for name, control in controls.items()}), dots)

    for control in controls.values():
        control.observe(redraw, "value")
    redraw()
    return VBox([HBox(list(controls.values())), screen])
