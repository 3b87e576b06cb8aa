"""The one training loop: batch → step → finite? → backward → ÷ count → clip → optimizer → log → evaluate.

Position is a pair of counters (phase, step); everything random in a step is a function of them and the seed.
Out-of-turn roles have `requires_grad` off, so they stay bit-identical while gradients still pass through
them to their inputs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from kdrun import registry, rng
from kdrun.config import OptimConfig, Select
from kdrun.data.feed import Feed
from kdrun.errors import TrainingError
from kdrun.inspection import inspect
from kdrun.method import (
    Batch,
    Method,
    Phase,
    ScheduleOver,
    StepOutput,
    Turn,
    budgeted_steps,
    must_end_scored,
    planned_steps,
    steps_per_epoch,
    turn_at,
)
from kdrun.observer import Observer
from kdrun.optim import learning_rate
from kdrun.running import Tally

MOST_EVALUATIONS = 20
"""Of a phase, where `eval_every` says nothing: passes over a handful of rows would else be scored step by step."""


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
    ) -> None:
        must_end_scored(phases)
        self.method, self.phases, self.feed, self.settings = method, phases, feed, settings
        self.accelerator, self.evaluate, self.observer = accelerator, evaluate, observer
        self.outcome = Outcome()
        self._best_state: list[dict[str, Tensor]] | None = None

    def run(self) -> Outcome:
        """Train; afterwards the student, and what is trained with it, holds the chosen checkpoint."""
        for phase in self.phases:
            self._best_state = None
            if phase.scored:
                self.outcome.best, self.outcome.best_step = None, None
            self.method.begin(phase)
            _Stretch(self, phase).run()
            if self._best_state is not None and self.settings.select is Select.best_dev:
                for module, state in zip(self.method.trainable("student"), self._best_state, strict=True):
                    module.load_state_dict(state)
        for module in self.method.roles.values():
            module.requires_grad_(False).eval()
        return self.outcome

    def assess(self, phase: str, step: int) -> None:
        """Score the student now and keep it if it is the best of this phase (the latest among equals)."""
        headline, scores = self.evaluate()
        best = self.outcome.best
        is_best = headline is not None and (best is None or headline >= best)
        if is_best:
            self.outcome.best, self.outcome.best_step = headline, step
            self._best_state = [
                {name: value.detach().clone() for name, value in module.state_dict().items()}
                for module in self.method.trainable("student")
            ]
        self.observer.evaluated({"phase": phase, "step": step, "eval": scores}, is_best)


class _Stretch:
    """One phase in progress: its optimizers, counters and running means."""

    def __init__(self, loop: Loop, phase: Phase) -> None:
        self.loop, self.phase, self.settings = loop, phase, loop.settings
        self.optims = loop.method.optims(loop.settings.optim, phase)
        self.steps_per_epoch = steps_per_epoch(phase, loop.feed.num_rows)
        self.planned = planned_steps(phase, budgeted_steps(phase, loop.feed.num_rows))
        self.total = sum(self.planned.values())
        self.taken = dict.fromkeys(self.planned, 0)
        self.groups = {role: self._groups(role) for role in self.planned}
        self.optimizers: dict[str, Any] = {}
        self.inspected: set[str] = set()
        self.active: str | None = None
        self.tallies = {role: Tally() for role in self.planned}

    def run(self) -> None:
        often = math.ceil(self.planned[self.phase.leading_role] / MOST_EVALUATIONS)
        every = self.settings.eval_every or max(self.steps_per_epoch, often)
        last = min(self.total, self.settings.max_steps or self.total)
        for step in range(last):
            turn = turn_at(self.phase.turns, step)
            if not self._rests(turn.role, step):
                self._activate(turn.role)
                started = time.perf_counter()
                self._step(step, turn, next(self.groups[turn.role]))
                self.tallies[turn.role].seconds += time.perf_counter() - started
            done, taken, leads = step + 1, self.taken[turn.role], turn.role == self.phase.leading_role
            for role, tally in self.tallies.items():
                if tally.count and (done == last or (role == turn.role and taken % self.settings.log_every == 0)):
                    self._log(tally, done)
            if self.phase.scored and (done == last or (leads and taken % every == 0)):
                self.loop.assess(self.phase.name, done)
                self.active = None  # evaluation left the models in eval mode
        if not self.phase.scored:
            self.loop.observer.unscored({"phase": self.phase.name, "step": last, "role": self.phase.leading_role})
        for role, count in self.taken.items():
            self.loop.outcome.steps[role] = self.loop.outcome.steps.get(role, 0) + count

    def _rests(self, role: str, step: int) -> bool:
        """Whether a role's turns are passed over; the first time, whoever watches is told why."""
        why = self.loop.method.rests(role)
        rests = self.loop.outcome.rests
        if why and role not in [rest["role"] for rest in rests]:
            rests.append({"role": role, "phase": self.phase.name, "step": step, "why": why})
            self.loop.observer.rested(rests[-1])
        return bool(why)

    def _groups(self, role: str) -> Iterator[list[tuple[int, np.ndarray]]]:
        """The micro-batches of each optimizer step of a role, numbered through the phase.

        Every role walks through the rows on its own, so that the student meets the same batches at its k-th
        step whatever turns come between.
        """
        epoch, accumulate, name = 0, self.phase.accumulate, self.phase.stream_name(role)
        while True:
            order = self.loop.feed.order(self.phase.batch_size, self.settings.seed, name, epoch)
            numbered = [(epoch * len(order) + i, rows) for i, rows in enumerate(order)]
            for start in range(0, len(numbered), accumulate):
                yield numbered[start : start + accumulate]
            epoch += 1

    def _activate(self, role: str) -> None:
        """Only this role's modules train; all others are frozen and in eval mode."""
        if self.active == role:
            return
        for module in self.loop.method.roles.values():
            module.requires_grad_(False).eval()
        trainable: list[nn.Module] = list(self.loop.method.trainable(role))
        for module in trainable:
            module.requires_grad_(True).train()
        if role not in self.optimizers:
            config = self.optims[role]
            optimizer = registry.build("optimizer", config.name, trainable, config)
            self.optimizers[role] = self.loop.accelerator.prepare_optimizer(optimizer)
        self.active = role

    def _step(self, step: int, turn: Turn, group: list[tuple[int, np.ndarray]]) -> None:
        name, taken, tally = self.phase.stream_name(turn.role), self.taken[turn.role], self.tallies[turn.role]
        torch.manual_seed(rng.derive(self.settings.seed, "dropout", name, taken))
        optimizer, config = self.optimizers[turn.role], self.optims[turn.role]
        lr = learning_rate(config, *self._progress(step, turn.role))
        for param_group in optimizer.param_groups:
            param_group["lr"] = lr
        count, total = 0, torch.zeros((), device=self.loop.accelerator.device)
        for number, rows in group:
            batch = self.loop.feed.batch(rows, name, number)
            batch.progress = taken / self.planned[turn.role]
            with self.loop.accelerator.autocast():
                output = self.loop.method.step(batch, turn)
            self._must_be_finite(output, batch, step)
            self.loop.accelerator.backward(output.loss)
            if turn.role not in self.inspected:
                self._inspect(output, turn.role)
            count, total = count + output.count, total + output.loss.detach()
            tally.add(output.terms | output.watched)
        norm = self._apply(optimizer, config.clip_norm, count, turn.role, step)
        self.taken[turn.role] += 1
        tally.add({"loss": total})
        tally.count += count
        tally.last = {"role": turn.role, "lr": lr, "grad_norm": norm}
        self.loop.outcome.examples += count

    def _progress(self, step: int, role: str) -> tuple[int, int]:
        """Where a role stands on its schedule: steps taken, of how many."""
        if self.phase.schedule_over is ScheduleOver.all_batches:
            return step, self.total
        return self.taken[role], self.planned[role]

    def _inspect(self, output: StepOutput, role: str) -> None:
        method = self.loop.method
        found = inspect(self.phase.name, role, output, method.roles, method.trainable(role), method.zero_at_first)
        self.inspected.add(role)
        self.loop.observer.inspected(found)

    def _apply(self, optimizer: Any, clip: float, count: int, role: str, step: int) -> float:
        """Divide the summed gradients by the number of examples, clip, step. Returns the norm before clipping."""
        params = [p for group in optimizer.param_groups for p in group["params"]]
        grads = [p.grad for p in params if p.grad is not None]
        torch._foreach_div_(grads, count)  # pyright: ignore[reportPrivateImportUsage]
        norm = torch.nn.utils.get_total_norm(grads)
        if not bool(torch.isfinite(norm)):
            raise TrainingError(
                f"phase {self.phase.name!r}, step {step + 1}: the {role}'s gradient is not finite; "
                "a lower learning rate, clipping (optim.clip_norm) or runtime.precision=fp32 may help"
            )
        if clip:
            torch.nn.utils.clip_grads_with_norm_(params, clip, norm)
        optimizer.step()
        optimizer.zero_grad()
        return float(norm)

    def _must_be_finite(self, output: StepOutput, batch: Batch, step: int) -> None:
        if not bool(torch.isfinite(output.loss)):
            terms = ", ".join(f"{name} {float(value):.4g}" for name, value in output.terms.items())
            ids = batch.ids.tolist()
            raise TrainingError(
                f"phase {self.phase.name!r}, step {step + 1}: the loss is {float(output.loss.detach())} ({terms}) on "
                f"training rows {ids[:16]}{' …' if len(ids) > 16 else ''}; look at these rows, lower the "
                "learning rate, or try runtime.precision=fp32"
            )

    def _log(self, tally: Tally, done: int) -> None:
        self.loop.outcome.train_seconds += tally.seconds
        self.loop.observer.step(
            {
                "step": done,
                "phase": self.phase.name,
                "epoch": round(self.taken[self.phase.leading_role] / self.steps_per_epoch, 4),
                **tally.last,
                **tally.means(),
                "examples_per_s": tally.count / tally.seconds if tally.seconds else None,
            },
            self.total,
        )
        self.tallies[tally.last["role"]] = Tally()
