"""Phases, turns and step budgets of a training.

It imports without torch, like `kdrun.methods.base`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kdrun.config.optim import OptimConfig


class ScheduleSpan(Enum):
    """Length of the schedules of roles that alternate; each advances in its role's own steps.

    `own_steps`: the role's own steps, so that each schedule ends. `all_batches`: the steps of all roles together, so
    that each schedule stops where its role's steps end, above zero.
    """

    own_steps = "own_steps"
    all_batches = "all_batches"


@dataclass(frozen=True)
class Turn:
    """A number of optimizer steps of one role, followed by the next turn of the phase."""

    role: str
    steps: int = 1


@dataclass(frozen=True)
class Phase:
    """A part of training whose turns repeat until the budget is spent.

    The budget is that of the leading role, so that all methods with the same `optim` section train the student for
    equally many steps: `epochs` counts its passes over the training rows; `steps`, when given, counts its
    optimizer steps and takes precedence. Steps of other roles are not counted.
    """

    name: str
    turns: tuple[Turn, ...]
    epochs: float = 1.0
    steps: int | None = None
    batch_size: int = 32
    gradient_accumulation_steps: int = 1
    schedule_over: ScheduleSpan = ScheduleSpan.own_steps
    evaluated: bool = True
    """Whether the dev score means something in this phase. If not (the head is not trained, or another model is), the
    trainer neither evaluates nor selects a checkpoint, and the next phase starts from the last weights."""
    epochs_before: float = 0.0
    """Passes of the same budget in earlier phases: parts of a budget are rounded so that they add up to the whole."""
    budget_fraction: float | None = field(default=None, compare=False)
    """Share of the run's budget that `epochs` and `steps` are; None where they are the phase's own."""
    run_batches: bool = field(default=False, compare=False)
    """Whether `batch_size` and `gradient_accumulation_steps` are the run's."""

    @classmethod
    def from_budget(
        cls,
        name: str,
        turns: tuple[Turn, ...],
        optim: OptimConfig,
        *,
        fraction: float = 1.0,
        schedule_over: ScheduleSpan = ScheduleSpan.own_steps,
        evaluated: bool = True,
    ) -> Phase:
        """Phase on a share of the run's budget, with the run's batches.

        Args:
            name: of the phase.
            turns: they repeat.
            optim: the run's.
            fraction: share of `optim.epochs` and of `optim.steps` (rounded, at least 1).
            schedule_over: see the class.
            evaluated: see the class.
        """
        return cls(
            name,
            turns,
            fraction * optim.epochs,
            None if optim.steps is None else max(1, round(fraction * optim.steps)),
            optim.batch_size,
            optim.gradient_accumulation_steps,
            schedule_over,
            evaluated,
            budget_fraction=fraction,
            run_batches=True,
        )

    @classmethod
    def from_steps(
        cls, name: str, turns: tuple[Turn, ...], optim: OptimConfig, steps: int, *, evaluated: bool = True
    ) -> Phase:
        """Phase of a fixed number of steps, with the run's batches.

        Args:
            name: of the phase.
            turns: they repeat.
            optim: the run's.
            steps: of the leading role.
            evaluated: see the class.
        """
        phase = cls.from_budget(name, turns, optim, evaluated=evaluated)
        return replace(phase, epochs=1.0, steps=steps, budget_fraction=None)

    @property
    def leading_role(self) -> str:
        """The student if it has a turn, else the role of the first turn."""
        roles = [turn.role for turn in self.turns]
        return "student" if "student" in roles else roles[0]

    def rng_name(self, role: str) -> str:
        """Name of a role's random streams in this phase, for `kdrun.rng.stream`."""
        return self.name if role == self.leading_role else f"{self.name}/{role}"


def steps_per_epoch(budget: Phase | OptimConfig, rows: int) -> int:
    """Optimizer steps of one pass over `rows` rows; the last micro-batch and the last step may be smaller."""
    return math.ceil(math.ceil(rows / budget.batch_size) / budget.gradient_accumulation_steps)


def num_steps(budget: Phase | OptimConfig, rows: int) -> int:
    """Optimizer steps of a budget: `steps` if given, else `epochs` passes over `rows` rows."""
    if budget.steps:
        return budget.steps
    per_epoch, before = steps_per_epoch(budget, rows), budget.epochs_before if isinstance(budget, Phase) else 0.0
    return max(1, round((before + budget.epochs) * per_epoch) - round(before * per_epoch))


def turn_at(turns: tuple[Turn, ...], step: int) -> Turn:
    """Turn that a step of a phase belongs to; the turns repeat."""
    position = step % sum(turn.steps for turn in turns)
    for turn in turns:
        if position < turn.steps:
            return turn
        position -= turn.steps
    raise ValueError("a phase needs turns with at least one step")


def steps_by_role(phase: Phase, budget: int) -> dict[str, int]:
    """Steps of each role when the phase's leading role takes `budget` of them."""
    counts, step = {turn.role: 0 for turn in phase.turns}, 0
    while counts[phase.leading_role] < budget:
        counts[turn_at(phase.turns, step).role] += 1
        step += 1
    return counts


def check_last_phase_evaluated(phases: list[Phase]) -> None:
    """Check that the last phase of the student is evaluated; otherwise no checkpoint could be selected.

    Raises:
        ValueError: the last phase that trains the student is not evaluated.
    """
    student_phases = [phase for phase in phases if any(turn.role == "student" for turn in phase.turns)]
    if student_phases and not student_phases[-1].evaluated:
        raise ValueError(f"phase {student_phases[-1].name!r} is the last to train the student, so it must be evaluated")


def truncate_to_one_step(phase: Phase) -> Phase:
    """Phase with one step per turn, for a dry run; the leading role's turn is last, because it ends the phase."""
    turns = tuple(replace(turn, steps=1) for turn in phase.turns)
    ordered = sorted(turns, key=lambda turn: turn.role == phase.leading_role)
    return replace(phase, turns=tuple(ordered), steps=sum(turn.role == phase.leading_role for turn in turns))
