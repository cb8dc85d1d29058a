"""``stremn systems``: every system of the papers, its memory, its size and where it is implemented."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table
    from torch import nn


@dataclass(frozen=True)
class Listed:
    """A network with a memory rule, as a paper uses it.

    Attributes:
        system: entry of ``models.registry.SYSTEMS``.
        rule: entry of ``memory.POLICIES``.
        paper: short name and year.
        options: how a user chooses it.
    """

    system: str
    rule: str
    paper: str
    options: str


SEGMENTATION: dict[str, Listed] = {
    "stremn": Listed("stremn", "learned", "STReMN 2021", "the default"),
    "stremn-ms": Listed(
        "stremn", "learned", "STReMN 2021, Table 3", "--multi-scale; scales and flip of a run"
    ),
    "stm": Listed("stm", "every_n", "STM 2019", "system stm"),
    "stcn": Listed("stcn", "every_n", "STCN 2021", "system stcn"),
    "amm": Listed("stcn", "lfu", "AMM 2022", "system stcn, policy lfu"),
}
PREDICTION: dict[str, tuple[str, str]] = {
    "stremn": ("STReMN 2021, Sec. 4.2", "constant: 5 slots"),
    "convlstm": ("Shi et al. 2015", "constant: one state per layer"),
    "predrnn": ("Wang et al. 2017", "constant: one state per layer and one memory"),
}


def growth(rule: str) -> str:
    """How a rule's memory grows with the video."""
    from stremn.memory import POLICIES

    entry = POLICIES[rule]
    if entry.fixed:
        return "constant: K slots" if entry.unit == "slot" else "constant: K frames' worth of features"
    return "grows: a slot every N frames" if rule == "every_n" else "constant: at most 2 slots"


def size(network: "type[nn.Module]") -> str:
    """Parameters of a network with its default fields, counted without making its weights."""
    import torch

    with torch.device("meta"):
        count = sum(weight.numel() for weight in network().parameters())
    return f"{count / 1e6:.1f} M"


def systems() -> None:
    """List every system and memory rule of the papers: its memory, its size and where it is implemented."""
    from rich.console import Console

    console = Console()
    for table in tables():
        console.print(table, "")


def tables() -> "list[Table]":
    """Tables of the segmentation systems, the memory rules and the predictors."""
    from stremn.memory import POLICIES
    from stremn.models.registry import PREDICTORS, SYSTEMS

    vos = _table("Segmentation", "system", "paper", "memory", "parameters", "how to choose it", "where")
    for name, one in SEGMENTATION.items():
        network = SYSTEMS[one.system]
        vos.add_row(name, one.paper, growth(one.rule), size(network), one.options, network.__module__)
    rules = _table(
        "Memory rules, for every system (update keys and judges: STReMN only)",
        "rule",
        "title",
        "memory",
        "source",
    )
    for name, entry in POLICIES.items():
        needs = " – needs update keys" if entry.update_keys else " – needs a judge" if entry.judged else ""
        title = entry.title + needs
        rules.add_row(name, title, growth(name), entry.source)
    video = _table("Prediction", "system", "paper", "memory", "parameters", "where")
    for name, (paper, memory) in PREDICTION.items():
        video.add_row(name, paper, memory, size(PREDICTORS[name]), PREDICTORS[name].__module__)
    return [vos, rules, video]


def _table(title: str, *columns: str) -> "Table":
    from rich.table import Table

    options: dict[str, Any] = {"title": title, "title_justify": "left", "box": None, "pad_edge": False}
    table = Table(**options)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
