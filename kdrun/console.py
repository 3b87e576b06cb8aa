"""Console output with rich, or plain lines without a terminal.

Terminals get colors and a progress bar; other outputs get plain lines, one per evaluation. Text may come from data,
models and files of others: markup and control characters in it are shown, not obeyed.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, cast

from rich.console import Console as RichConsole
from rich.markup import escape as escape_markup
from rich.table import Table

from kdrun.formatting import escape_control

LOG_WIDTH = 200
"""Columns of output without a terminal, so that tables are not cut in log files."""

GONE = (errno.EPIPE, errno.EIO, errno.EBADF)
"""Errors of an output without a reader: a closed pipe, a closed terminal, a closed file."""


class StandardOutput:
    """Standard output of the process as long as it has a reader; afterward, text is dropped.

    A run of hours does not depend on the window or the pipe that shows its progress.
    """

    encoding = "utf-8"

    def write(self, text: str) -> int:
        """Write text if there is a reader."""
        return self._call("write", text) or len(text)

    def flush(self) -> None:
        """Flush if there is a reader."""
        self._call("flush")

    def isatty(self) -> bool:
        """Whether a terminal shows the output."""
        return bool(self._call("isatty"))

    def fileno(self) -> int:
        """File descriptor of the process's standard output."""
        return self._stream().fileno()

    def _call(self, name: str, *arguments: str) -> int | None:
        try:
            return getattr(self._stream(), name)(*arguments)
        except OSError as error:
            if error.errno not in GONE:
                raise
        # later writes, and Python's own flush at the end, go nowhere
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        return None

    @staticmethod
    def _stream() -> IO[str]:
        # a progress bar puts a proxy in place of the output, which would write to this object again
        return getattr(sys.stdout, "rich_proxied_file", sys.stdout)


def escape(text: str) -> str:
    """Escape markup and control characters."""
    return escape_markup(escape_control(text))


VERBOSITY = "KDRUN_VERBOSITY"
"""Environment variable of the verbosity, quiet or verbose; set by the flags -q and -v."""


class Console:
    """Print the progress and the results of a run.

    Attributes:
        shows_progress: whether long activities appear, as bars or lines.
    """

    shows_progress = True

    def __init__(self, rich: RichConsole | None = None) -> None:
        self.rich = rich or RichConsole(file=cast(IO[str], StandardOutput()), highlight=False, soft_wrap=True)
        if not self.rich.is_terminal and "COLUMNS" not in os.environ:
            self.rich.width = LOG_WIDTH

    def print(self, text: str) -> None:
        """Print a plain line; markup in the text is escaped."""
        self.rich.print(escape(text))

    def progress(self, text: str) -> None:
        """Print a line on the progress of a long activity."""
        self.rich.print(f"[dim]{escape(text)}[/dim]")

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
        table = Table(title=escape(title), title_justify="left", title_style="bold")
        for i, name in enumerate(columns):
            table.add_column(escape(name), justify="left" if i == 0 else "right", overflow="fold")
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


class WarningConsole(QuietConsole):
    """Console of -q: errors, and each warning once."""

    shows_progress = False

    def note(self, text: str) -> None:
        """Print nothing."""

    def progress(self, text: str) -> None:
        """Print nothing."""


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
    logger.setLevel(logging.DEBUG if os.environ.get(VERBOSITY) == "verbose" else logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        for other in outer:
            logger.addHandler(other)
        logger.setLevel(level)
