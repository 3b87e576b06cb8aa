"""Render a table for terminal, Markdown, LaTeX or CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Format(Enum):
    """How a table is written."""

    terminal = "terminal"
    markdown = "markdown"
    csv = "csv"
    latex = "latex"


@dataclass
class TextTable:
    """A table, ready to be shown.

    Attributes:
        title: what the numbers are.
        columns: a heading a column.
        rows: text of every cell.
        records: the same as values, one a line of the CSV.
        notes: what a reader has to know, shown below.
        left: indices of the columns that are aligned to the left.
        best: (row, column) of the cells that are the best of their column.
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


def text(sheet: TextTable, form: Format) -> str:
    """A table as Markdown, CSV or LaTeX, without a line break at its end."""
    return {Format.markdown: _markdown, Format.csv: _csv, Format.latex: _latex}[form](sheet)


def show(sheet: TextTable) -> None:
    """Print a table. One that is wider than the terminal is wrapped by it: no cell is ever cut."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.measure import Measurement
    from rich.table import Table

    looks: dict[str, Any] = {"box": box.SIMPLE_HEAD, "show_edge": False, "pad_edge": False}
    table = Table(title=escape(sheet.title), title_justify="left", title_style="bold", **looks)
    for i, name in enumerate(sheet.columns):
        table.add_column(escape(name), justify="left" if i in sheet.left else "right", no_wrap=True)
    marked = {column for _, column in sheet.best}
    for i, row in enumerate(sheet.rows):
        cells = [f"{escape(cell)}  " if j in marked else escape(cell) for j, cell in enumerate(row)]
        table.add_row(
            *(f"[bold]{cell[:-2]} *[/bold]" if (i, j) in sheet.best else cell for j, cell in enumerate(cells))
        )
    console = Console(highlight=False, soft_wrap=True)
    wide = console.options.update(width=100_000)
    console.width = max(console.width, Measurement.get(console, wide, table).maximum, len(sheet.title))
    console.print(table)
    for note in ["", *sheet.notes] if sheet.notes else []:
        console.print(escape(note))


def _markdown(sheet: TextTable) -> str:
    marks = ["---" if i in sheet.left else "---:" for i in range(len(sheet.columns))]
    lines = [sheet.title, "", _line([cell.replace("|", "\\|") for cell in sheet.columns]), f"|{'|'.join(marks)}|"]
    for i, row in enumerate(sheet.rows):
        cells = [cell.replace("|", "\\|") for cell in row]
        lines.append(_line([f"**{cell}**" if (i, j) in sheet.best else cell for j, cell in enumerate(cells)]))
    return "\n".join([*lines, *([""] if sheet.notes else []), *(f"- {note}" for note in sheet.notes)])


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _csv(sheet: TextTable) -> str:
    out = io.StringIO()
    names = list(dict.fromkeys(name for record in sheet.records for name in record))
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(sheet.records)
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
        "[": "{[}",  # a line that begins with [ would be taken for the option of the \\ before it
        "]": "{]}",
    }
)


def _latex(sheet: TextTable) -> str:
    marks = "".join("l" if i in sheet.left else "r" for i in range(len(sheet.columns)))
    lines = [f"% {sheet.title}", f"\\begin{{tabular}}{{{marks}}}", r"\hline"]
    lines += [" & ".join(name.translate(LATEX) for name in sheet.columns) + r" \\", r"\hline"]
    for i, row in enumerate(sheet.rows):
        cells = [cell.translate(LATEX) for cell in row]
        bold = [f"\\textbf{{{cell}}}" if (i, j) in sheet.best else cell for j, cell in enumerate(cells)]
        lines.append(" & ".join(bold) + r" \\")
    return "\n".join([*lines, r"\hline", r"\end{tabular}", *(f"% {note}" for note in sheet.notes)])
