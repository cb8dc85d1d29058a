"""Published numbers, a CSV file for each table: where it is from, with what it can be compared, then its rows.

Row keys are the names of our rules and systems where we have them, so that ``tables.with_paper`` can put a measured
value into the same row. Scores of segmentation are percentages unless the table says otherwise; empty: not reported.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

Value = float | None


@dataclass(frozen=True)
class PaperTable:
    """A table of a paper.

    Attributes:
        title: what it shows.
        source: citation with table number.
        conditions: data, split and training behind the numbers.
        columns: names of the values.
        rows: key → (label as in the paper, values in the columns' order).
    """

    title: str
    source: str
    conditions: str
    columns: tuple[str, ...]
    rows: dict[str, tuple[str, tuple[Value, ...]]]

    def value(self, row: str, column: str) -> Value:
        """One number."""
        return self.rows[row][1][self.columns.index(column)]


def read_table(path: Path) -> PaperTable:
    """A file of this folder: lines ``# title: …``, ``# source: …``, ``# conditions: …``, then ``key,label,<columns>``."""
    lines = path.read_text(encoding="utf-8").splitlines()
    about = dict(line.removeprefix("# ").split(": ", 1) for line in lines if line.startswith("# "))
    head, *rows = csv.reader(line for line in lines if not line.startswith("# "))
    values = {
        key: (label, tuple(float(value) if value else None for value in cells)) for key, label, *cells in rows
    }
    return PaperTable(**about, columns=tuple(head[2:]), rows=values)


TABLES = {path.stem: read_table(path) for path in sorted(Path(__file__).parent.glob("*.csv"))}
"""By file name: ``<paper>-<number of the table>``."""
