"""What a page consists of, before it is HTML: sections of figures, tables, charts and remarks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Cell:
    """A cell of a table, where the text alone does not say enough."""

    text: str
    value: float | None = None
    """What the table is sorted by; the text, unless given."""
    kind: str = ""
    """``best``, ``good``, ``bad`` or ``quiet``: how the cell is marked."""
    bar: float | None = None
    """From 0 to 1: the length of a bar behind the text."""


@dataclass(frozen=True)
class Column:
    """A column's title, and how its cells are set."""

    title: str
    is_number: bool = False
    is_wide: bool = False
    """Whether the cells hold running text, which may take several lines."""
    hint: str = ""
    """What the title means, for those who ask."""


@dataclass(frozen=True)
class Table:
    """Rows below titles. Readers sort them by a click on a title."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell | str]]
    caption: str = ""


@dataclass(frozen=True)
class Chart:
    """A chart as Vega-Lite describes it (:mod:`pages.charts`), with what stands above and below it."""

    title: str
    spec: Mapping[str, Any]
    text: str
    """What the chart shows, for those who cannot see it."""
    caption: str = ""
    is_wide: bool = False
    """Whether the chart takes the whole width of the page."""


@dataclass(frozen=True)
class Figure:
    """A number that stands out."""

    name: str
    value: str
    remark: str = ""


@dataclass(frozen=True)
class Figures:
    """Numbers that stand out, side by side."""

    figures: Sequence[Figure]


@dataclass(frozen=True)
class Note:
    """A paragraph: what is not shown and why, or how something is to be read."""

    text: str


Block = Table | Chart | Figures | Note


@dataclass(frozen=True)
class Section:
    """A part of a page with a title of its own."""

    title: str
    blocks: Sequence[Block]
    is_folded: bool = False
    """Whether only the title is seen until a reader opens the section."""


@dataclass(frozen=True)
class Page:
    """A page."""

    title: str
    sections: Sequence[Section]
    subtitle: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What the page is of, and how it came about; at the end of the page."""

    @property
    def charts(self) -> list[Chart]:
        """All charts, in the order in which they stand."""
        return [block for section in self.sections for block in section.blocks if isinstance(block, Chart)]


def kind_of(block: Block) -> str:
    """The name of a block's kind, which the template chooses by."""
    return type(block).__name__.lower()
