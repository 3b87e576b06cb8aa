"""The one training loop: phase after phase (`kdrun.stretch`), each at its start or where a checkpoint has it.

Position is a pair of counters (phase, step); everything random in a step is a function of them and the seed, so that
a training goes on from a checkpoint (`kdrun.snapshot`) as if it had never stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from accelerate import Accelerator
from torch import Tensor

from kdrun import checkpoint, snapshot, stopping
from kdrun.checkpoint import Content
from kdrun.config import OptimConfig, Select
from kdrun.data.feed import Feed
from kdrun.errors import CheckpointError
from kdrun.keeper import Keeper
from kdrun.method import Method
from kdrun.observer import Observer
from kdrun.phases import Phase, must_end_scored
from kdrun.stretch import Stretch


@dataclass
class Outcome:
    """What a training came to.

    Attributes:
        steps: optimizer steps by role.
        examples: training examples seen, with repeats.
        train_seconds: time in training steps, evaluations left out.
        best: headline score of the checkpoint chosen in the last scored phase, when one was chosen by it.
        best_step: the step it was taken at.
        rests: of each role whose part ended before its budget, why: `role`, `phase`, `step`, `why`.
    """

    steps: dict[str, int] = field(default_factory=dict)
    examples: int = 0
    train_seconds: float = 0.0
    best: float | None = None
    best_step: int | None = None
    rests: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Settings:
    """How the loop is run: the run's optimizer, the seed, and when to look up from the work."""

    optim: OptimConfig
    seed: int
    log_every: int = 20
    eval_every: int | None = None
    select: Select = Select.best_dev
    max_steps: int | None = None


class Loop:
    """Runs the phases of a method.

    Args:
        method: says what is minimised.
        phases: in order.
        feed: the training rows.
        settings: optimizers, seed, cadence.
        accelerator: device and arithmetic.
        evaluate: scores the student on the dev split; its headline decides the best checkpoint.
        observer: is told of steps and evaluations.
        keeper: saves checkpoints, and has the one to go on from where there is one; without it nothing is saved.

    Attributes:
        number: of the phase in progress, from 0.
        best_state: of each module that trains with the student, the weights at its best in this phase.

    Raises:
        TrainingError: a loss or gradient is not finite, or a gradient reaches no parameter of its role.
        ValueError: the last phase in which the student takes part is not scored.
    """

    def __init__(
        self,
        method: Method,
        phases: list[Phase],
        feed: Feed,
        settings: Settings,
        accelerator: Accelerator,
        evaluate: Callable[[], tuple[float | None, dict[str, Any]]],
        observer: Observer,
        keeper: Keeper | None = None,
    ) -> None:
        must_end_scored(phases)
        self.method, self.phases, self.feed, self.settings = method, phases, feed, settings
        self.accelerator, self.evaluate, self.observer, self.keeper = accelerator, evaluate, observer, keeper
        self.outcome = Outcome()
        self.number = 0
        self.best_state: list[dict[str, Tensor]] | None = None

    def run(self) -> Outcome:
        """Train; afterwards the student, and what is trained with it, holds the chosen checkpoint.

        Raises:
            Stopped: by a signal; everything was saved.
            CheckpointError: a checkpoint cannot be written; says which one is there.
        """
        with stopping.held(self.keeper is not None):
            kept = self.keeper.newest() if self.keeper else None
            for number in range(kept.state["number"] if kept else 0, len(self.phases)):
                stretch, kept = self._begin(number, kept), None
                try:
                    self._carry_out(stretch)
                except CheckpointError as error:
                    raise CheckpointError(f"{error}{self.last_kept}") from error
                self._end(stretch)
        for module in self.method.roles.values():
            module.requires_grad_(False).eval()
        return self.outcome

    @property
    def last_kept(self) -> str:
        """Which checkpoint there is, as the end of an error's sentence."""
        return f"; {self.keeper.last}" if self.keeper else ""

    def _carry_out(self, stretch: Stretch) -> None:
        try:
            stretch.run()
        except stopping.Stopped:  # between two steps, or in an evaluation, which changes nothing
            self._keep(stretch)
            raise
        if self.keeper and self.keeper.at_end and self.number + 1 == len(self.phases):
            self._keep(stretch)

    def _begin(self, number: int, kept: Content | None) -> Stretch:
        """The phase of this number, at its start or where a checkpoint has it."""
        phase, self.number, self.best_state = self.phases[number], number, None
        if phase.scored:
            self.outcome.best, self.outcome.best_step = None, None
        if kept is not None:
            snapshot.put_back_roles(self, kept)
        self.method.begin(phase)
        stretch = Stretch(self, phase)
        if kept is not None:
            snapshot.put_back(self, stretch, kept)
        return stretch

    def _end(self, stretch: Stretch) -> None:
        """Count the phase's steps, and put its best weights back."""
        for role, count in stretch.taken.items():
            self.outcome.steps[role] = self.outcome.steps.get(role, 0) + count
        if self.best_state is not None and self.settings.select is Select.best_dev:
            for module, state in zip(self.method.trainable("student"), self.best_state, strict=True):
                checkpoint.put_back(module, state, "best weights")

    def breathe(self, stretch: Stretch) -> None:
        """Between two steps: save if it is time to, stop if somebody asked for it."""
        stopping.check()
        if self.keeper and self.keeper.is_due:
            self._keep(stretch)

    def _keep(self, stretch: Stretch) -> None:
        if self.keeper is not None:
            self.keeper.save(snapshot.take(self, stretch))

    def assess(self, phase: str, step: int) -> None:
        """Score the student now and keep it if it is the best of this phase (the latest among equals)."""
        with stopping.held(False):
            headline, scores = self.evaluate()
        best = self.outcome.best
        is_best = headline is not None and (best is None or headline >= best)
        if is_best:
            self.outcome.best, self.outcome.best_step = headline, step
            self.best_state = [
                {name: value.clone() for name, value in checkpoint.tensors_of(module).items()}
                for module in self.method.trainable("student")
            ]
        self.observer.evaluated({"phase": phase, "step": step, "eval": scores}, is_best)
