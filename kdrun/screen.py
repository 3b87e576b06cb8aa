"""What a user sees: what is about to run, how it goes, what came out, what to do next.

On a terminal there are colours and a progress bar; elsewhere plain lines, one an evaluation.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from kdrun.evaluation import Scores
    from kdrun.inspection import Inspection


def number(value: float | None, digits: int = 4) -> str:
    """A score for a table; `n/a` for one that is undefined or was not measured."""
    return "n/a" if value is None else f"{value:.{digits}f}"


def millions(count: int) -> str:
    """A parameter count, readable: 22.7 M, 153 k."""
    return f"{count / 1e6:.1f} M" if count >= 1e6 else f"{count / 1e3:.0f} k"


def plural(number_of: int, noun: str) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{number_of} {noun}{'' if number_of == 1 else 's'}"


WIDE = 200
"""Columns where nobody's terminal sets a limit: a table must not lose digits in a log file."""


class Screen:
    """Prints a run."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        if not self.console.is_terminal and "COLUMNS" not in os.environ:
            self.console.width = WIDE

    def say(self, text: str) -> None:
        """A plain line; markup in it is shown, not obeyed."""
        self.console.print(escape(text))

    def facts(self, title: str, rows: list[tuple[str, str]]) -> None:
        """A heading and aligned `name  value` lines."""
        self.console.print(f"[bold]{escape(title)}[/bold]")
        width = max(len(name) for name, _ in rows)
        for name, value in rows:
            self.console.print(f"  [dim]{escape(name.ljust(width))}[/dim]  {escape(value)}")

    def note(self, text: str) -> None:
        """Something a reader of the result should know."""
        self.console.print(f"[cyan]note[/cyan]  {escape(text)}")

    def warn(self, text: str) -> None:
        """A line that should not be overlooked."""
        self.console.print(f"[yellow]warning[/yellow]  {escape(text)}")

    def error(self, text: str) -> None:
        """Why a run cannot go on."""
        self.console.print(f"[red]error[/red]  {escape(text)}")

    def table(self, title: str, columns: list[str], rows: list[list[str]]) -> None:
        """A table whose first column is left-aligned and the others right-aligned."""
        table = Table(title=title, title_justify="left", title_style="bold")
        for i, name in enumerate(columns):
            table.add_column(name, justify="left" if i == 0 else "right", overflow="fold")
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        self.console.print(table)


class Quiet(Screen):
    """For runs inside a comparison: the bar, errors, and each note and warning once; the rest is in their folders."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__(console)
        self.said: set[str] = set()

    def say(self, text: str) -> None:
        """Nothing."""

    def facts(self, title: str, rows: list[tuple[str, str]]) -> None:
        """Nothing."""

    def table(self, title: str, columns: list[str], rows: list[list[str]]) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Once."""
        if text not in self.said:
            self.said.add(text)
            super().note(text)

    def warn(self, text: str) -> None:
        """Once."""
        if text not in self.said:
            self.said.add(text)
            super().warn(text)


class Watcher:
    """Follows one training for the screen: a bar on a terminal, a line per evaluation elsewhere."""

    def __init__(self, screen: Screen, label: str, headline: str, split: str) -> None:
        self.screen, self.label, self.headline, self.split = screen, label, headline, split
        self.progress: Progress | None = None
        self.bar: TaskID | None = None
        self.last: dict[str, Any] = {}

    def step(self, record: dict[str, Any], total: int) -> None:
        """Move the bar and show the losses."""
        self.last = record
        if not self.screen.console.is_terminal:
            return
        if self.progress is None:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
            )
            self.progress = Progress(*columns, TextColumn("{task.fields[info]}"), console=self.screen.console)
            self.progress.start()
        if self.bar is None:
            self.bar = self.progress.add_task(self.label, total=total, info="")
        # every phase counts its steps anew
        self.progress.update(self.bar, total=total, completed=record["step"], info=self._losses(record))

    def evaluated(self, record: dict[str, Any], is_best: bool) -> None:
        """A line with the headline score."""
        value = record["eval"].get(self.split, {}).get(self.headline)
        mark = "  best so far" if is_best else ""
        line = f"  {self.label}, {record['phase']} step {record['step']}: {self.split} {self.headline} {number(value)}"
        self.screen.say(f"{line}  {self._losses(self.last)}{mark}")

    def unscored(self, record: dict[str, Any]) -> None:
        """A line with the losses alone."""
        line = f"  {record['role']}, {record['phase']} step {record['step']}: not scored in this phase"
        self.screen.say(f"{line}  {self._losses(self.last)}")

    def rested(self, rest: dict[str, Any]) -> None:
        """Say whose part is over, and why."""
        self.screen.warn(f"{rest['phase']} step {rest['step']}: the {rest['role']}'s part is over: {rest['why']}")

    def inspected(self, found: Inspection) -> None:
        """Warn of what the first step of a turn showed."""
        for warning in found.warnings():
            self.screen.warn(warning)

    def stayed_zero(self, phase: str, role: str, terms: list[str]) -> None:
        """Warn of loss terms that taught nothing in a whole phase."""
        for name in terms:
            self.screen.warn(
                f"phase {phase!r}: the {role}'s loss term {name!r} was exactly zero from the first step to the last; "
                "it taught nothing (is its weight 0, or its threshold never passed?)"
            )

    def close(self) -> None:
        """Take the bar down."""
        if self.progress is not None:
            self.progress.stop()

    @staticmethod
    def _losses(record: dict[str, Any]) -> str:
        known = {"step", "phase", "epoch", "role", "lr", "grad_norm", "examples_per_s"}
        terms = "  ".join(f"{k} {v:.4f}" for k, v in record.items() if k not in known)
        rate = record.get("examples_per_s")
        return f"{terms}  {rate:.0f} examples/s" if rate else terms


def score_rows(teacher: Scores | None, student: Scores, guess: dict[str, dict[str, float | None]]) -> list[list[str]]:
    """One row a split and metric: constant guess, teacher, student, share kept."""
    rows = []
    for split, values in student.items():
        for metric, value in values.items():
            top = teacher[split][metric] if teacher else None
            kept = f"{100 * value / top:.1f} %" if value is not None and top else "n/a"
            rows.append([f"{split} {metric}", number(guess[split].get(metric)), number(top), number(value), kept])
    return rows
