"""Interface through which the trainer reports progress."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kdrun.training.step_checks import FirstStepReport

if TYPE_CHECKING:
    from torch import Tensor


class TrainerCallback:
    """Receives the events of a training; ignores all of them by default.

    Attributes:
        label: name of the training in progress reports, in front of the name of the phase; may be empty.
    """

    label: str = ""

    def on_log(self, record: dict[str, Any], total: int) -> None:
        """Receive a log record of one role.

        Args:
            record: means since the last record: step, phase, role, epoch, loss terms, learning rate, examples per
                second.
            total: steps of the phase, of all roles together.
        """

    def on_evaluate(self, record: dict[str, Any], is_best: bool) -> None:
        """Receive the scores of an evaluation, and whether the headline is the best so far."""

    def on_best(self, record: dict[str, Any], weights: Mapping[str, Tensor]) -> None:
        """Receive the weights of the best student so far, after the record of its evaluation.

        The weights are those in use, or complete copies in the first process if they are divided among processes.
        """

    def on_phase_end_unscored(self, record: dict[str, Any]) -> None:
        """Receive the end of a phase without evaluations, which keeps its last weights: phase, step, role."""

    def on_role_stopped(self, stop: dict[str, Any]) -> None:
        """Receive a role that stopped before the end of its budget: role, phase, step, why."""

    def on_first_step(self, report: FirstStepReport) -> None:
        """Receive the report on the first step of a role in a phase."""

    def on_zero_terms(self, phase: str, role: str, terms: list[str]) -> None:
        """Receive the loss terms that may start at zero and were zero in every step of a finished phase."""


def format_losses(record: Mapping[str, Any]) -> str:
    """Format the loss terms and the speed of a log record: `loss 0.1648  3456 examples/s`."""
    other_keys = {"step", "phase", "epoch", "role", "lr", "grad_norm", "examples_per_s"}
    terms = "  ".join(f"{name} {value:.4f}" for name, value in record.items() if name not in other_keys)
    rate = record.get("examples_per_s")
    return f"{terms}  {rate:.0f} examples/s" if rate else terms
