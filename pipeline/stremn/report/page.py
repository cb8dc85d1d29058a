"""The report as a page: sections of tables and pictures, written as Markdown with files and as one HTML file."""

import base64
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader

from stremn.files import replacing
from stremn.report.claims import Claim


@dataclass(frozen=True)
class Table:
    """A table of the report.

    Attributes:
        caption: above it.
        values: numbers, NaN where there is none; columns may have two levels.
        note: below it.
        digits: after the point.
    """

    caption: str
    values: pd.DataFrame
    note: str = ""
    digits: int = 1

    def cells(self) -> pd.DataFrame:
        """What is read: rounded, one level of columns, – where there is no value; all of it text."""
        names = [": ".join(map(str, n)) if isinstance(n, tuple) else str(n) for n in self.values.columns]
        cells = [[self._cell(value) for value in row] for row in self.values.to_numpy(object)]
        return pd.DataFrame(cells, index=self.values.index.map(str), columns=names)

    def _cell(self, value: object) -> str:
        if value is None or value != value:
            return "–"
        return f"{value:.{self.digits}f}" if isinstance(value, float) else str(value)

    def html(self) -> str:
        """A ``table`` element, everything in it escaped."""
        return self.cells().to_html(border=0)

    def csv(self) -> str:
        """Rows for MyST's directive ``csv-table``, everything in them plain text."""
        cells = self.cells().map(plain)
        cells = cells.set_axis([plain(name) for name in cells.columns], axis=1)
        return cells.set_axis([plain(str(name)) for name in cells.index]).to_csv().strip()


@dataclass(frozen=True)
class Section:
    """A part of the report: a heading, a line of text, tables and pictures (PNG files)."""

    heading: str
    text: str
    tables: Sequence[Table] = ()
    pictures: Sequence[Path] = ()

    @property
    def anchor(self) -> str:
        """Its name in links."""
        return re.sub(r"\W+", "-", self.heading.lower()).strip("-")


@dataclass(frozen=True)
class Report:
    """title: of the page. lead: below it. sections: in their order, folded. claims: on top, with links to sections.

    not_run: what the papers have and this profile does not, at the end.
    """

    title: str
    lead: str
    sections: Sequence[Section] = field(default_factory=tuple)
    claims: Sequence[Claim] = ()
    not_run: str = ""

    def section_of(self, claim: Claim) -> Section | None:
        """Where a claim's table stands."""
        return next((one for one in self.sections if one.heading.startswith(claim.section)), None)

    def write_html(self, path: Path) -> None:
        """One file with everything inside."""
        _write(path, "report.html.j2", report=self)

    def write_markdown(self, path: Path) -> None:
        """MyST Markdown; its pictures become files of the folder ``figures`` beside it."""
        pictures = {}
        for number, section in enumerate(self.sections, 1):
            for picture in section.pictures:
                pictures[picture] = f"figures/{number}_{picture.name}"
                (path.parent / "figures").mkdir(parents=True, exist_ok=True)
                shutil.copy(picture, path.parent / pictures[picture])
        _write(path, "report.md.j2", report=self, pictures=pictures)


def plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>$#{}])", r"\\\1", text)


def embedded(path: Path) -> str:
    """A PNG file as a ``data:`` address."""
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _write(path: Path, template: str, **values: object) -> None:
    environment = Environment(
        loader=PackageLoader("stremn.report", "templates"),
        autoescape=template.endswith(".html.j2"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"plain": plain, "embedded": embedded}
    with replacing(path) as scratch:
        scratch.write_text(environment.get_template(template).render(values), encoding="utf-8")
