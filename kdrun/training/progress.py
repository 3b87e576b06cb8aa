"""Report evaluations, warnings and losses of a training on the console."""

from __future__ import annotations

from typing import Any

from kdrun.console import Console
from kdrun.formatting import percent
from kdrun.training.callbacks import TrainerCallback, format_losses
from kdrun.training.step_checks import FirstStepReport


class ProgressCallback(TrainerCallback):
    """Report one training on the console: a line per evaluation, and warnings."""

    def __init__(self, console: Console, label: str, headline: str, split: str) -> None:
        self.console, self.label, self.headline, self.split = console, label, headline, split
        self.last: dict[str, Any] = {}

    def on_log(self, record: dict[str, Any], total: int) -> None:
        """Keep the losses for the line of the next evaluation."""
        self.last = record

    def on_evaluate(self, record: dict[str, Any], is_best: bool) -> None:
        """Print the headline score."""
        value = record["eval"].get(self.split, {}).get(self.headline)
        mark = "  best so far" if is_best else ""
        line = f"  {self.label}, {record['phase']} step {record['step']}: {self.split} {self.headline} {percent(value)}"
        self.console.print(f"{line}  {format_losses(self.last)}{mark}")

    def on_phase_end_unscored(self, record: dict[str, Any]) -> None:
        """Print the losses of a phase without evaluation."""
        line = f"  {record['role']}, {record['phase']} step {record['step']}: not evaluated in this phase"
        self.console.print(f"{line}  {format_losses(self.last)}")

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
