"""What a published table is here."""

from dataclasses import dataclass

Value = float | None


@dataclass(frozen=True)
class PaperTable:
    """A table of a paper.

    columns: names of the values. rows: key → (label as in the paper, values in the columns' order).
    source: citation with table number. conditions: data, split and training behind the numbers.
    """

    title: str
    source: str
    conditions: str
    columns: tuple[str, ...]
    rows: dict[str, tuple[str, tuple[Value, ...]]]

    def value(self, row: str, column: str) -> Value:
        """One number."""
        return self.rows[row][1][self.columns.index(column)]
