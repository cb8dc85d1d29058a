"""What ``stremn segment --try`` tells: a table, and the command that goes on with a choice."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from stremn.segmenting.trial import Tried

CHOSEN = {"try_", "size", "policy", "out", "overwrite"}  # options that the advice replaces
ALIKE = 0.02  # difference in confidence that decides nothing: the faster one is named


def report_trials(context: typer.Context, tried: "Sequence[Tried]", page: Path) -> None:
    """Print the table of what was tried, and how to segment the whole video in the most confident way.

    Args:
        context: of the command, whose other options the advice repeats.
        tried: in the order of the page.
        page: where they are drawn.
    """
    from rich.console import Console
    from rich.table import Table

    from stremn.inference.confidence import LOST
    from stremn.segmenting.trial import duration

    table = Table(box=None, pad_edge=False)
    for column in ("size", "rule", "s a frame", "whole video", "confidence"):
        table.add_column(column, justify="left" if column == "rule" else "right")
    for one in tried:
        cells = f"{one.seconds:.2f}", f"about {duration(one.whole)}", f"{one.confidence:.2f}"
        table.add_row(str(one.size), one.rule, *cells)
    Console().print(table)
    best = max(one.confidence for one in tried)
    chosen = min((one for one in tried if one.confidence > best - ALIKE), key=lambda one: one.seconds)
    if best < LOST:
        print(
            f"none can be trusted (below {LOST} an object may be lost): correct masks later (--mask 40:later.png), "
            "give a cleaner first mask, or begin where the objects are larger"
        )
    print(
        f"look at {page}, then choose; the most confident, for example:\n{advice(context, chosen, page.parent)}"
    )


def advice(context: typer.Context, chosen: "Tried", out: Path) -> str:
    """The command that segments the whole video with one size and rule, beside what was tried in ``out``."""
    from stremn.segmenting.outputs import free_beside

    place = out.with_name(f"{out.name}-{chosen.size}-{chosen.rule}")
    place = free_beside(place) if place.exists() else place
    words = ["stremn", "segment", *given_words(context)]
    words += ["--size", str(chosen.size), "--policy", chosen.rule, "--out", str(place)]
    return shlex.join(words)


def given_words(context: typer.Context) -> list[str]:
    """Arguments and options of the command line but those of ``CHOSEN``, as words that can be typed again."""
    words: list[str] = []
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        if source is None or source.name != "COMMANDLINE" or parameter.name in CHOSEN:
            continue
        value: Any = context.params[str(parameter.name)]
        values = value if isinstance(value, list | tuple) else [value]
        for one in values:
            name = [] if parameter.param_type_name == "argument" else [parameter.opts[0]]
            words += name if one is True else [*name, str(one)]
    return words
