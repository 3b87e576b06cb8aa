"""Console output with rich, or plain lines without a terminal.

Terminals get colors and a progress bar; other outputs get plain lines, one per evaluation.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console as RichConsole
from rich.markup import escape
from rich.table import Table

LOG_WIDTH = 200
"""Columns of output without a terminal, so that tables are not cut in log files."""


class Console:
    """Print the progress and the results of a run."""

    def __init__(self, rich: RichConsole | None = None) -> None:
        self.rich = rich or RichConsole(highlight=False, soft_wrap=True)
        if not self.rich.is_terminal and "COLUMNS" not in os.environ:
            self.rich.width = LOG_WIDTH

    def print(self, text: str) -> None:
        """Print a plain line; markup in the text is escaped."""
        self.rich.print(escape(text))

    def key_values(self, title: str, rows: list[tuple[str, str]]) -> None:
        """Print a heading and aligned `name  value` lines."""
        self.rich.print(f"[bold]{escape(title)}[/bold]")
        width = max(len(name) for name, _ in rows)
        for name, value in rows:
            self.rich.print(f"  [dim]{escape(name.ljust(width))}[/dim]  {escape(value)}")

    def note(self, text: str) -> None:
        """Print a note on the result."""
        self.rich.print(f"[cyan]note[/cyan]  {escape(text)}")

    def warning(self, text: str) -> None:
        """Print a warning."""
        self.rich.print(f"[yellow]warning[/yellow]  {escape(text)}")

    def error(self, text: str) -> None:
        """Print the reason why a run stops."""
        self.rich.print(f"[red]error[/red]  {escape(text)}")

    def table(self, title: str, columns: list[str], rows: list[list[str]]) -> None:
        """Print a table; the first column is left-aligned, the others are right-aligned."""
        table = Table(title=title, title_justify="left", title_style="bold")
        for i, name in enumerate(columns):
            table.add_column(name, justify="left" if i == 0 else "right", overflow="fold")
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        self.rich.print(table)


class QuietConsole(Console):
    """Console for runs inside a comparison: progress bar, errors, and each note and warning once."""

    def __init__(self, console: RichConsole | None = None) -> None:
        super().__init__(console)
        self.printed: set[str] = set()

    def print(self, text: str) -> None:
        """Print nothing."""

    def key_values(self, title: str, rows: list[tuple[str, str]]) -> None:
        """Print nothing."""

    def table(self, title: str, columns: list[str], rows: list[list[str]]) -> None:
        """Print nothing."""

    def note(self, text: str) -> None:
        """Print each note once."""
        if text not in self.printed:
            self.printed.add(text)
            super().note(text)

    def warning(self, text: str) -> None:
        """Print each warning once."""
        if text not in self.printed:
            self.printed.add(text)
            super().warning(text)


class ConsoleHandler(logging.Handler):
    """Print log messages on a console: information as plain lines, anything above as warnings."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message."""
        show = self.console.warning if record.levelno >= logging.WARNING else self.console.print
        show(record.getMessage())


@contextmanager
def log_to(console: Console) -> Iterator[None]:
    """Print kdrun's log messages on this console inside the block, and not on an outer one."""
    logger = logging.getLogger("kdrun")
    level, outer = logger.level, [handler for handler in logger.handlers if isinstance(handler, ConsoleHandler)]
    handler = ConsoleHandler(console)
    for other in outer:
        logger.removeHandler(other)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        for other in outer:
            logger.addHandler(other)
        logger.setLevel(level)
