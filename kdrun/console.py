"""Console output with rich, or plain lines without a terminal.

On a terminal there are colours and a progress bar; elsewhere plain lines, one an evaluation.
"""

from __future__ import annotations

import os

from rich.console import Console as RichConsole
from rich.markup import escape
from rich.table import Table

LOG_WIDTH = 200
"""Columns where nobody's terminal sets a limit: a table must not lose digits in a log file."""


class Console:
    """Prints a run."""

    def __init__(self, rich: RichConsole | None = None) -> None:
        self.rich = rich or RichConsole(highlight=False, soft_wrap=True)
        if not self.rich.is_terminal and "COLUMNS" not in os.environ:
            self.rich.width = LOG_WIDTH

    def print(self, text: str) -> None:
        """A plain line; markup in it is shown, not obeyed."""
        self.rich.print(escape(text))

    def key_values(self, title: str, rows: list[tuple[str, str]]) -> None:
        """A heading and aligned `name  value` lines."""
        self.rich.print(f"[bold]{escape(title)}[/bold]")
        width = max(len(name) for name, _ in rows)
        for name, value in rows:
            self.rich.print(f"  [dim]{escape(name.ljust(width))}[/dim]  {escape(value)}")

    def note(self, text: str) -> None:
        """Something a reader of the result should know."""
        self.rich.print(f"[cyan]note[/cyan]  {escape(text)}")

    def warning(self, text: str) -> None:
        """A line that should not be overlooked."""
        self.rich.print(f"[yellow]warning[/yellow]  {escape(text)}")

    def error(self, text: str) -> None:
        """Why a run cannot go on."""
        self.rich.print(f"[red]error[/red]  {escape(text)}")

    def table(self, title: str, columns: list[str], rows: list[list[str]]) -> None:
        """A table whose first column is left-aligned and the others right-aligned."""
        table = Table(title=title, title_justify="left", title_style="bold")
        for i, name in enumerate(columns):
            table.add_column(name, justify="left" if i == 0 else "right", overflow="fold")
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        self.rich.print(table)


class QuietConsole(Console):
    """For runs inside a comparison: the bar, errors, and each note and warning once; the rest is in their folders."""

    def __init__(self, console: RichConsole | None = None) -> None:
        super().__init__(console)
        self.said: set[str] = set()

    def print(self, text: str) -> None:
        """Nothing."""

    def key_values(self, title: str, rows: list[tuple[str, str]]) -> None:
        """Nothing."""

    def table(self, title: str, columns: list[str], rows: list[list[str]]) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Once."""
        if text not in self.said:
            self.said.add(text)
            super().note(text)

    def warning(self, text: str) -> None:
        """Once."""
        if text not in self.said:
            self.said.add(text)
            super().warning(text)
