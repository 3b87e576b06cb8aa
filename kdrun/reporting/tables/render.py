"""Render a table for terminal, Markdown, LaTeX or CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Format(Enum):
    """Output format of a table."""

    terminal = "terminal"
    markdown = "markdown"
    csv = "csv"
    latex = "latex"


@dataclass
class TextTable:
    """A table of formatted cells.

    Attributes:
        title: description of the numbers.
        columns: headings of the columns.
        rows: text of every cell.
        records: the values as lines of the CSV.
        notes: notes below the table.
        left: indices of the left-aligned columns.
        best: (row, column) of the best cell of each column.
    """

    title: str
    columns: list[str]
    rows: list[list[str]]
    records: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left: Collection[int] = ()
    best: Collection[tuple[int, int]] = ()


def csv_number(value: float | None) -> float | str:
    """Round a number for the CSV; None is empty."""
    return "" if value is None else round(value, 6)


def csv_percent(value: float | None) -> float | str:
    """Return a share in percent for the CSV; None is empty."""
    return csv_number(None if value is None else 100 * value)


def render(table: TextTable, table_format: Format) -> str:
    """Return a table as Markdown, CSV or LaTeX, without a final line break."""
    return {Format.markdown: _markdown, Format.csv: _csv, Format.latex: _latex}[table_format](table)


def print_table(text_table: TextTable) -> None:
    """Print a table; tables wider than the terminal wrap, cells are never cut."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.measure import Measurement
    from rich.table import Table

    looks: dict[str, Any] = {"box": box.SIMPLE_HEAD, "show_edge": False, "pad_edge": False}
    table = Table(title=escape(text_table.title), title_justify="left", title_style="bold", **looks)
    for i, name in enumerate(text_table.columns):
        table.add_column(escape(name), justify="left" if i in text_table.left else "right", no_wrap=True)
    marked = {column for _, column in text_table.best}
    for i, row in enumerate(text_table.rows):
        cells = [f"{escape(cell)}  " if j in marked else escape(cell) for j, cell in enumerate(row)]
        table.add_row(
            *(f"[bold]{cell[:-2]} *[/bold]" if (i, j) in text_table.best else cell for j, cell in enumerate(cells))
        )
    console = Console(highlight=False, soft_wrap=True)
    wide = console.options.update(width=100_000)
    console.width = max(console.width, Measurement.get(console, wide, table).maximum, len(text_table.title))
    console.print(table)
    for note in ["", *text_table.notes] if text_table.notes else []:
        console.print(escape(note))


def _markdown(table: TextTable) -> str:
    alignment = ["---" if i in table.left else "---:" for i in range(len(table.columns))]
    lines = [table.title, "", _line([cell.replace("|", "\\|") for cell in table.columns]), f"|{'|'.join(alignment)}|"]
    for i, row in enumerate(table.rows):
        cells = [cell.replace("|", "\\|") for cell in row]
        lines.append(_line([f"**{cell}**" if (i, j) in table.best else cell for j, cell in enumerate(cells)]))
    return "\n".join([*lines, *([""] if table.notes else []), *(f"- {note}" for note in table.notes)])


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _csv(table: TextTable) -> str:
    out = io.StringIO()
    names = list(dict.fromkeys(name for record in table.records for name in record))
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table.records)
    return out.getvalue().rstrip("\n")


LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        "−": "$-$",
        "[": "{[}",  # a leading [ would be read as an option of the preceding \\
        "]": "{]}",
    }
)


def _latex(table: TextTable) -> str:
    alignment = "".join("l" if i in table.left else "r" for i in range(len(table.columns)))
    lines = [f"% {table.title}", r"% \usepackage{booktabs}", f"\\begin{{tabular}}{{{alignment}}}", r"\toprule"]
    lines += [" & ".join(name.translate(LATEX) for name in table.columns) + r" \\", r"\midrule"]
    for i, row in enumerate(table.rows):
        cells = [cell.translate(LATEX) for cell in row]
        bold = [f"\\textbf{{{cell}}}" if (i, j) in table.best else cell for j, cell in enumerate(cells)]
        lines.append(" & ".join(bold) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", *(f"% {note}" for note in table.notes)])
