"""Progress bar and evaluation lines on the console."""

from __future__ import annotations

from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from kdrun.console import Console
from kdrun.formatting import number
from kdrun.training.callbacks import TrainerCallback
from kdrun.training.step_checks import FirstStepReport


class ProgressCallback(TrainerCallback):
    """Report one training on the console: a line per evaluation, and a progress bar on a terminal."""

    def __init__(self, console: Console, label: str, headline: str, split: str) -> None:
        self.console, self.label, self.headline, self.split = console, label, headline, split
        self.progress: Progress | None = None
        self.bar: TaskID | None = None
        self.last: dict[str, Any] = {}

    def on_log(self, record: dict[str, Any], total: int) -> None:
        """Update the bar and the losses."""
        self.last = record
        if not self.console.rich.is_terminal:
            return
        if self.progress is None:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
            )
            self.progress = Progress(*columns, TextColumn("{task.fields[info]}"), console=self.console.rich)
            self.progress.start()
        if self.bar is None:
            self.bar = self.progress.add_task(self.label, total=total, info="")
        # each phase counts its steps from 1
        self.progress.update(self.bar, total=total, completed=record["step"], info=self._losses(record))

    def on_evaluate(self, record: dict[str, Any], is_best: bool) -> None:
        """Print the headline score."""
        value = record["eval"].get(self.split, {}).get(self.headline)
        mark = "  best so far" if is_best else ""
        line = f"  {self.label}, {record['phase']} step {record['step']}: {self.split} {self.headline} {number(value)}"
        self.console.print(f"{line}  {self._losses(self.last)}{mark}")

    def on_phase_end_unscored(self, record: dict[str, Any]) -> None:
        """Print the losses of a phase without evaluation."""
        line = f"  {record['role']}, {record['phase']} step {record['step']}: not evaluated in this phase"
        self.console.print(f"{line}  {self._losses(self.last)}")

    def on_role_stopped(self, stop: dict[str, Any]) -> None:
        """Report which role stopped training, and why."""
        self.console.warning(f"{stop['phase']} step {stop['step']}: stopped training the {stop['role']}: {stop['why']}")

    def on_first_step(self, report: FirstStepReport) -> None:
        """Print the warnings of a role's first step."""
        for warning in report.warnings():
            self.console.warning(warning)

    def on_zero_terms(self, phase: str, role: str, terms: list[str]) -> None:
        """Warn about loss terms that were zero in a whole phase."""
        for name in terms:
            self.console.warning(
                f"phase {phase!r}: the {role}'s loss term {name!r} was exactly zero in every step, so it had no "
                "effect; check its weight and its threshold"
            )

    def close(self) -> None:
        """Remove the bar."""
        if self.progress is not None:
            self.progress.stop()

    @staticmethod
    def _losses(record: dict[str, Any]) -> str:
        other_keys = {"step", "phase", "epoch", "role", "lr", "grad_norm", "examples_per_s"}
        terms = "  ".join(f"{name} {value:.4f}" for name, value in record.items() if name not in other_keys)
        rate = record.get("examples_per_s")
        return f"{terms}  {rate:.0f} examples/s" if rate else terms
