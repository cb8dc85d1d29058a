"""Figures in notebooks."""

import sys
from typing import Any


def let_notebooks_draw() -> None:
    """Show matplotlib's figures as pictures in this notebook; elsewhere nothing happens.

    By itself IPython does so only where pyplot was imported, and otherwise shows a line of text.
    """
    if "IPython" not in sys.modules:
        return
    from IPython.core.getipython import get_ipython
    from IPython.core.pylabtools import select_figure_formats
    from matplotlib.figure import Figure

    shell: Any = get_ipython()
    if shell is not None and Figure not in shell.display_formatter.formatters["image/png"].type_printers:
        select_figure_formats(shell, {"png"})
