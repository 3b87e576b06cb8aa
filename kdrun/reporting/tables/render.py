"""Render a table for terminal, Markdown, LaTeX or CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from kdrun.formatting import escape_control, guard_formula


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


BREAKS = re.compile("[\\t\\n\\v\\f\\r\\x1c-\\x1e\\x85\\u2028\\u2029]+")
"""Characters that end a line for some reader, and tabs."""


def one_line(text: str) -> str:
    """Fold line breaks to spaces and escape other control characters; names and errors may come from a stranger."""
    return escape_control(BREAKS.sub(" ", text))


def render(table: TextTable, table_format: Format) -> str:
    """Return a table as Markdown, CSV or LaTeX, without a final line break."""
    return {Format.markdown: _markdown, Format.csv: _csv, Format.latex: _latex}[table_format](table)


def print_table(table: TextTable) -> None:
    """Print a table; cells are never cut, and lines wider than the terminal wrap."""
    from rich.cells import cell_len
    from rich.console import Console
    from rich.style import Style

    console = Console(highlight=False)
    bold = Style(bold=True) if console.is_terminal else Style()
    rule = "\u2500" if console.encoding.startswith("utf") else "-"

    def aligned(cells: list[str], bold_cells: Collection[int]) -> str:
        parts = []
        for j, (cell, width) in enumerate(zip(cells, widths, strict=True)):
            padding = " " * (width - cell_len(cell))
            cell = bold.render(cell) if j in bold_cells else cell
            parts.append(cell + padding if j in table.left else padding + cell)
        return "   ".join(parts)

    marked = {column for _, column in table.best}
    rows = [[one_line(cell) for cell in row] for row in [table.columns, *table.rows]]
    for i, row in enumerate(rows, -1):
        for j in marked:
            row[j] += " *" if (i, j) in table.best else "  "
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    lines = [bold.render(one_line(table.title)), aligned(rows[0], range(len(widths)))]
    lines.append(rule * (sum(widths) + 3 * (len(widths) - 1)))
    lines += [aligned(row, {j for j in marked if (i, j) in table.best}) for i, row in enumerate(rows[1:])]
    print("\n".join([*lines, *([""] if table.notes else []), *map(one_line, table.notes)]))


def _markdown(table: TextTable) -> str:
    alignment = ["---" if i in table.left else "---:" for i in range(len(table.columns))]
    lines = [_markdown_text(table.title), "", _line(map(_markdown_cell, table.columns)), f"|{'|'.join(alignment)}|"]
    for i, row in enumerate(table.rows):
        cells = map(_markdown_cell, row)
        lines.append(_line(f"**{cell}**" if (i, j) in table.best else cell for j, cell in enumerate(cells)))
    notes = [f"- {_markdown_text(note)}" for note in table.notes]
    return "\n".join([*lines, *([""] if notes else []), *notes])


def _markdown_text(text: str) -> str:
    """Escape what Markdown would take as HTML, a link or an image."""
    return one_line(text).replace("<", "&lt;").replace("](", "]\\(")


def _markdown_cell(text: str) -> str:
    """Escape a cell: also the bar, and the backslashes in front of it, which would end the cell."""
    return re.sub(r"(\\*)\|", lambda match: f"{match[1] * 2}\\|", _markdown_text(text))


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _csv(table: TextTable) -> str:
    out = io.StringIO()
    names = list(dict.fromkeys(name for record in table.records for name in record))
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(_csv_cell, names))
    writer.writerows([_csv_cell(record.get(name, "")) for name in names] for record in table.records)
    return out.getvalue().rstrip("\n")


def _csv_cell(value: Any) -> Any:
    """Guard text that a spreadsheet would evaluate by an apostrophe; numbers stay numbers."""
    if not isinstance(value, str):
        return value
    return guard_formula(one_line(value))


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
    lines = [
        f"% {one_line(table.title)}",
        r"% \usepackage{booktabs}",
        f"\\begin{{tabular}}{{{alignment}}}",
        r"\toprule",
    ]
    lines += [" & ".join(map(_latex_cell, table.columns)) + r" \\", r"\midrule"]
    for i, row in enumerate(table.rows):
        cells = map(_latex_cell, row)
        bold = [f"\\textbf{{{cell}}}" if (i, j) in table.best else cell for j, cell in enumerate(cells)]
        lines.append(" & ".join(bold) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", *(f"% {one_line(note)}" for note in table.notes)])


def _latex_cell(text: str) -> str:
    return one_line(text).translate(LATEX)
