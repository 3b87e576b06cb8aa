"""Building blocks of a page.

The template escapes every string. Only `Figure.svg` and `Panels.plots` are markup, from `kdrun.reporting.html.svg`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from markupsafe import Markup

from kdrun.formatting import NOT_MEASURED


@dataclass(frozen=True)
class Text:
    """A paragraph; `style` is plain, lead (the sentence to read first) or warning."""

    macro: ClassVar[str] = "text"
    text: str
    style: str = "plain"


@dataclass(frozen=True)
class Tile:
    """A prominent number with a label above and a note below."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Tiles:
    """Numbers side by side."""

    macro: ClassVar[str] = "tiles"
    tiles: list[Tile]


@dataclass(frozen=True)
class VerdictLine:
    """The verdict on a pair of arms and the sentence that supports it."""

    verdict: str
    text: str


@dataclass(frozen=True)
class Verdicts:
    """Verdicts, one line per pair."""

    macro: ClassVar[str] = "verdicts"
    items: list[VerdictLine]


@dataclass(frozen=True)
class Figure:
    """A plot with its heading and caption; a wide one has the page's width for itself."""

    svg: Markup
    title: str
    caption: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Figures:
    """Plots side by side, where space allows."""

    macro: ClassVar[str] = "figures"
    figures: list[Figure]


@dataclass(frozen=True)
class Panels:
    """One figure of several plots, side by side where space allows, with one heading and one caption."""

    macro: ClassVar[str] = "panels"
    title: str
    plots: list[Markup]
    caption: str = ""


@dataclass(frozen=True)
class Facts:
    """Names and values, one line each."""

    macro: ClassVar[str] = "fact_list"
    pairs: list[tuple[str, str]]


@dataclass(frozen=True)
class Key:
    """Legend of the letters in plots: letter, meaning, number of the color (1 to 8)."""

    macro: ClassVar[str] = "key"
    items: list[tuple[str, str, int]]


@dataclass(frozen=True)
class Table:
    """A table whose first cells name the rows.

    Attributes:
        caption: heading of the table.
        columns: headings of the columns.
        rows: cells of each row.
        notes: notes below the table.
        num_text_columns: number of leading columns that hold text; the others hold numbers.
        has_numbers: whether the table holds scores or measures of data.
        links: relative address behind each row's name; empty for a table without links.
    """

    macro: ClassVar[str] = "table"
    caption: str
    columns: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)
    num_text_columns: int = 1
    has_numbers: bool = True
    links: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Matrix:
    """Counts of one classification (rows) against another (columns), over the same labels."""

    macro: ClassVar[str] = "matrix"
    caption: str
    row_title: str
    column_title: str
    labels: list[str]
    counts: list[list[int]]

    def shares(self) -> list[list[float]]:
        """Return each count as a share of its row, for the shading; 0 in an empty row."""
        return [[n / sum(row) if sum(row) else 0.0 for n in row] for row in self.counts]


@dataclass(frozen=True)
class Matrices:
    """Matrices side by side."""

    macro: ClassVar[str] = "matrices"
    matrices: list[Matrix]


@dataclass(frozen=True)
class Example:
    """A data row with the predictions for it."""

    name: str
    texts: list[tuple[str, str]]
    facts: list[tuple[str, str]]


@dataclass(frozen=True)
class Examples:
    """Data rows, one below the other."""

    macro: ClassVar[str] = "examples"
    items: list[Example]


@dataclass(frozen=True)
class TextSample:
    """A generated text: its words, which of them were changed, and the probabilities of both models.

    `answers` holds both models' texts, for tasks that are answered with text.
    """

    step: int
    original: str
    words: list[tuple[str, bool]]
    columns: list[str]
    rows: list[list[str]]
    gap: str
    answers: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Gallery:
    """Generated texts, one below the other."""

    macro: ClassVar[str] = "gallery"
    samples: list[TextSample]


@dataclass(frozen=True)
class Folded:
    """Blocks or a listing behind a title, initially closed."""

    macro: ClassVar[str] = "folded"
    title: str
    code: str = ""
    blocks: list[Block] = field(default_factory=list)


@dataclass(frozen=True)
class Code:
    """A listing, such as a command."""

    macro: ClassVar[str] = "code"
    text: str


Block = Text | Tiles | Verdicts | Figures | Panels | Facts | Key | Table | Matrices | Examples | Gallery | Folded | Code


@dataclass(frozen=True)
class Section:
    """A section of the page; `id` is its anchor, `synthetic` marks its numbers as synthetic."""

    id: str
    title: str
    blocks: list[Block]
    synthetic: bool = False

    @property
    def applies(self) -> bool:
        """Whether the section has content; one that only says why it is n/a is not linked."""
        return any(not isinstance(block, Text) or NOT_MEASURED not in block.text for block in self.blocks)


@dataclass(frozen=True)
class Page:
    """A whole report; `synthetic` marks the numbers of every section."""

    title: str
    subtitle: str
    synthetic: bool
    sections: list[Section]
