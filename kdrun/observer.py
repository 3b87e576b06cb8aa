"""Who is told how a training goes: files, screen and trackers are behind it."""

from __future__ import annotations

from typing import Any, Protocol

from kdrun.inspection import Inspection


class Observer(Protocol):
    """What the loop tells while it runs."""

    def step(self, record: dict[str, Any], total: int) -> None:
        """Means since the last record: step, phase, role, epoch, terms, lr, rate."""
        ...

    def evaluated(self, record: dict[str, Any], is_best: bool) -> None:
        """An evaluation and whether it is the best so far."""
        ...

    def unscored(self, record: dict[str, Any]) -> None:
        """A phase without evaluations has ended: phase, step, role; its last weights go on."""
        ...

    def rested(self, rest: dict[str, Any]) -> None:
        """The part of a role is over before its budget is spent: role, phase, step, why."""
        ...

    def inspected(self, found: Inspection) -> None:
        """What the first step of a role in a phase showed."""
        ...

    def stayed_zero(self, phase: str, role: str, terms: list[str]) -> None:
        """Loss terms that may start at zero were zero in every step of the phase that has ended."""
        ...
