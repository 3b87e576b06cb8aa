"""Interface through which the trainer reports progress."""

from __future__ import annotations

from typing import Any, Protocol

from kdrun.training.step_checks import FirstStepReport


class TrainerCallback(Protocol):
    """What the loop tells while it runs."""

    def on_log(self, record: dict[str, Any], total: int) -> None:
        """Means since the last record: step, phase, role, epoch, terms, lr, rate."""
        ...

    def on_evaluate(self, record: dict[str, Any], is_best: bool) -> None:
        """An evaluation and whether it is the best so far."""
        ...

    def on_phase_end_unscored(self, record: dict[str, Any]) -> None:
        """A phase without evaluations has ended: phase, step, role; its last weights go on."""
        ...

    def on_role_stopped(self, rest: dict[str, Any]) -> None:
        """The part of a role is over before its budget is spent: role, phase, step, why."""
        ...

    def on_first_step(self, found: FirstStepReport) -> None:
        """What the first step of a role in a phase showed."""
        ...

    def on_zero_terms(self, phase: str, role: str, terms: list[str]) -> None:
        """Loss terms that may start at zero were zero in every step of the phase that has ended."""
        ...
