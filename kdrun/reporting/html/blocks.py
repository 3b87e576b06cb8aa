"""Building blocks of a page.

Every string is shown as text: the template escapes it. Only `Figure.svg` is markup, made by `kdrun.reporting.html.svg`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from markupsafe import Markup


@dataclass(frozen=True)
class Text:
    """A paragraph; `kind` is plain, lead (the sentence to read first) or warning."""

    macro: ClassVar[str] = "text"
    text: str
    kind: str = "plain"


@dataclass(frozen=True)
class Tile:
    """A number to see first, with what it is above and what it means below."""

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
    """The word on a pair of arms and the sentence that backs it."""

    word: str
    text: str


@dataclass(frozen=True)
class Verdicts:
    """One line a pair."""

    macro: ClassVar[str] = "verdicts"
    items: list[VerdictLine]


@dataclass(frozen=True)
class Figure:
    """A plot with its heading and what a reader must know to read it."""

    svg: Markup
    title: str
    caption: str = ""


@dataclass(frozen=True)
class Figures:
    """Plots side by side, where there is room."""

    macro: ClassVar[str] = "figures"
    figures: list[Figure]


@dataclass(frozen=True)
class Key:
    """What letters in plots stand for: letter, meaning, number of the colour (1 to 8)."""

    macro: ClassVar[str] = "key"
    items: list[tuple[str, str, int]]


@dataclass(frozen=True)
class Table:
    """Rows whose first cell is their name.

    Attributes:
        caption: what it holds.
        columns: their names.
        rows: their cells.
        notes: what a reader must know, below it.
        words: how many leading columns hold words; the others hold numbers.
        has_numbers: whether scores or measures of data are in it.
        links: for each row a relative address that its name leads to; none for a table without.
    """

    macro: ClassVar[str] = "table"
    caption: str
    columns: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)
    words: int = 1
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
        """Each count as a share of its row, for its shade; 0 in an empty row."""
        return [[n / sum(row) if sum(row) else 0.0 for n in row] for row in self.counts]


@dataclass(frozen=True)
class Matrices:
    """Matrices side by side."""

    macro: ClassVar[str] = "matrices"
    matrices: list[Matrix]


@dataclass(frozen=True)
class Example:
    """A row of the data with what was answered."""

    name: str
    texts: list[tuple[str, str]]
    facts: list[tuple[str, str]]


@dataclass(frozen=True)
class Examples:
    """Rows one below the other."""

    macro: ClassVar[str] = "examples"
    items: list[Example]


@dataclass(frozen=True)
class TextSample:
    """A text that a generator made: its words (and whether each was changed) and what both models make of it.

    `answers` are by model, of a task that is answered with a text.
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
    """Generated texts one below the other."""

    macro: ClassVar[str] = "gallery"
    samples: list[TextSample]


@dataclass(frozen=True)
class Folded:
    """Blocks or a listing behind a title, closed at first."""

    macro: ClassVar[str] = "folded"
    title: str
    code: str = ""
    blocks: list[Block] = field(default_factory=list)


@dataclass(frozen=True)
class Code:
    """A listing, such as a command."""

    macro: ClassVar[str] = "code"
    text: str


Block = Text | Tiles | Verdicts | Figures | Key | Table | Matrices | Examples | Gallery | Folded | Code


@dataclass(frozen=True)
class Section:
    """A part of the page; `id` is its anchor, `synthetic` says so of its numbers."""

    id: str
    title: str
    blocks: list[Block]
    synthetic: bool = False


@dataclass(frozen=True)
class Page:
    """A whole report. `synthetic` marks every block that holds numbers, in whatever section."""

    title: str
    subtitle: str
    synthetic: bool
    sections: list[Section]
