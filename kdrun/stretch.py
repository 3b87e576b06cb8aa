"""One phase in progress: batch → step → finite? → backward → ÷ count → clip → optimizer → log → evaluate → save if due.

Out-of-turn roles have `requires_grad` off, so they stay bit-identical while gradients still pass through
them to their inputs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from kdrun import registry, rng
from kdrun.inspection import Inspection, has_moved, inspect, must_be_finite_gradient, must_be_finite_loss
from kdrun.method import StepOutput
from kdrun.optim import learning_rate
from kdrun.phases import Phase, ScheduleOver, Turn, budgeted_steps, planned_steps, steps_per_epoch, turn_at

if TYPE_CHECKING:
    from kdrun.loop import Loop

CLIP_EPS = 1e-6
"""Keeps a gradient of norm zero as it is; torch's own clipping has the same."""

MOST_EVALUATIONS = 20
"""Of a phase, where `eval_every` says nothing: passes over a handful of rows would else be scored step by step."""


@dataclass
class Tally:
    """Running sums of one role's steps since its last record."""

    sums: dict[str, Tensor] = field(default_factory=dict)
    count: int = 0
    seconds: float = 0.0
    last: dict[str, Any] = field(default_factory=dict)

    def add(self, terms: dict[str, Tensor]) -> None:
        """Count sums over examples in."""
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0) + value.detach()

    def means(self) -> dict[str, float]:
        """Means over the examples."""
        return {name: float(value) / self.count for name, value in self.sums.items()}


class Stretch:
    """One phase in progress: its optimizers, counters and running means.

    Attributes:
        done: steps taken, of all roles; `taken` has them by role.
        still_zero: by role, the terms that may be zero at first, and were in every step that was logged.
        is_pending: whether the evaluation after the last step is still to be made.
    """

    def __init__(self, loop: Loop, phase: Phase) -> None:
        self.loop, self.phase, self.settings = loop, phase, loop.settings
        self.optims = loop.method.optims(loop.settings.optim, phase)
        self.steps_per_epoch = steps_per_epoch(phase, loop.feed.num_rows)
        self.planned = planned_steps(phase, budgeted_steps(phase, loop.feed.num_rows))
        self.total = sum(self.planned.values())
        self.last = min(self.total, self.settings.max_steps or self.total)
        often = math.ceil(self.planned[phase.leading_role] / MOST_EVALUATIONS)
        self.eval_every = self.settings.eval_every or max(self.steps_per_epoch, often)
        self.done, self.is_pending, self.taken = 0, False, dict.fromkeys(self.planned, 0)
        self.groups: dict[str, Iterator[list[tuple[int, np.ndarray]]]] = {}
        self.optimizers: dict[str, Any] = {}
        self.active: str | None = None
        self.tallies = {role: Tally() for role in self.planned}
        self.still_zero = dict.fromkeys(self.planned, loop.method.zero_at_first)

    @property
    def is_over(self) -> bool:
        """Whether nothing of the phase is left to do."""
        return self.done >= self.last and not self.is_pending

    def run(self) -> None:
        """All that is left of the phase."""
        while not self.is_over:
            if not self.is_pending:
                self._advance()
            if self.is_pending:
                self.loop.assess(self.phase.name, self.done)
                self.is_pending, self.active = False, None  # evaluation left the models in eval mode
            self.loop.breathe(self)
        for role, terms in self.still_zero.items():
            if terms and self.taken[role] > 1:
                self.loop.observer.stayed_zero(self.phase.name, role, sorted(terms))
        if not self.phase.scored:
            self.loop.observer.unscored({"phase": self.phase.name, "step": self.last, "role": self.phase.leading_role})

    def _advance(self) -> None:
        """One step, and its lines of the log."""
        turn = turn_at(self.phase.turns, self.done)
        if not self._rests(turn.role):
            self._activate(turn.role)
            if turn.role not in self.groups:
                self.groups[turn.role] = self._groups(turn.role, self.taken[turn.role])
            started = time.perf_counter()
            self._step(self.done, turn, next(self.groups[turn.role]))
            self.tallies[turn.role].seconds += time.perf_counter() - started
        self.done += 1
        taken, ends = self.taken[turn.role], self.done == self.last
        for role, tally in self.tallies.items():
            if tally.count and (ends or (role == turn.role and taken % self.settings.log_every == 0)):
                self._log(tally, self.done)
        leads = turn.role == self.phase.leading_role
        self.is_pending = self.phase.scored and (ends or (leads and taken % self.eval_every == 0))

    def _rests(self, role: str) -> bool:
        """Whether a role's turns are passed over; the first time, whoever watches is told why."""
        why, rests = self.loop.method.rests(role), self.loop.outcome.rests
        if why and role not in [rest["role"] for rest in rests]:
            rests.append({"role": role, "phase": self.phase.name, "step": self.done, "why": why})
            self.loop.observer.rested(rests[-1])
        return bool(why)

    def _groups(self, role: str, taken: int) -> Iterator[list[tuple[int, np.ndarray]]]:
        """The micro-batches of each optimizer step that a role has still to take, numbered through the phase.

        Every role walks through the rows on its own, so that the student meets the same batches at its k-th
        step whatever turns come between.
        """
        accumulate, name = self.phase.accumulate, self.phase.stream_name(role)
        epoch, within = divmod(taken, self.steps_per_epoch)
        while True:
            order = self.loop.feed.order(self.phase.batch_size, self.settings.seed, name, epoch)
            numbered = [(epoch * len(order) + i, rows) for i, rows in enumerate(order)]
            for start in range(within * accumulate, len(numbered), accumulate):
                yield numbered[start : start + accumulate]
            epoch, within = epoch + 1, 0

    def _activate(self, role: str) -> None:
        """Only this role's modules train; all others are frozen and in eval mode."""
        if self.active == role:
            return
        for module in self.loop.method.roles.values():
            module.requires_grad_(False).eval()
        trainable: list[nn.Module] = list(self.loop.method.trainable(role))
        for module in trainable:
            module.requires_grad_(True).train()
        self.active = role

    def optimizer(self, role: str) -> Any:
        """A role's optimizer, made when it is first wanted."""
        if role not in self.optimizers:
            config = self.optims[role]
            modules = list(self.loop.method.trainable(role))
            self.optimizers[role] = registry.build("optimizer", config.name, modules, config)
        return self.optimizers[role]

    def _step(self, step: int, turn: Turn, group: list[tuple[int, np.ndarray]]) -> None:
        name, taken, tally = self.phase.stream_name(turn.role), self.taken[turn.role], self.tallies[turn.role]
        rng.seed_dropout(rng.derive(self.settings.seed, "dropout", name, taken), self.loop.accelerator.device)
        optimizer, config = self.optimizer(turn.role), self.optims[turn.role]
        lr = learning_rate(config, *self._progress(step, turn.role))
        for param_group in optimizer.param_groups:
            param_group["lr"] = lr
        count, divided, total, found = 0, 1, torch.zeros((), device=self.loop.accelerator.device), None
        for number, rows in group:
            batch = self.loop.feed.batch(rows, name, number)
            batch.progress = taken / self.planned[turn.role]
            with self.loop.accelerator.autocast():
                output = self.loop.method.minimised(batch, turn)
            must_be_finite_loss(output, batch.ids.tolist(), self._where(step, turn))
            # a sum that is whole is divided here, which costs no pass over the gradients
            divided = output.count if len(group) == 1 else 1
            self.loop.accelerator.backward(output.loss / divided)
            if taken == 0 and found is None:
                found = self._inspect(output, turn.role)
            count, total = count + output.count, total + output.loss.detach()
            tally.add(output.terms | output.watched)
        norm = float(torch.nn.utils.get_total_norm(_gradients(optimizer))) * divided / count
        must_be_finite_gradient(norm, np.concatenate([rows for _, rows in group]).tolist(), self._where(step, turn))
        self._apply(optimizer, count / divided, config.clip_norm, norm, found)
        self.taken[turn.role] += 1
        tally.add({"loss": total})
        tally.count += count
        tally.last = {"role": turn.role, "lr": lr, "grad_norm": norm}
        self.loop.outcome.examples += count

    def _where(self, step: int, turn: Turn) -> tuple[str, str]:
        """Where something went wrong, and which checkpoint there is, for an error."""
        return f"phase {self.phase.name!r}, {turn.role}'s step {step + 1}", self.loop.last_kept

    def _progress(self, step: int, role: str) -> tuple[int, int]:
        """Where a role stands on its schedule: steps taken, of how many."""
        if self.phase.schedule_over is ScheduleOver.all_batches:
            return step, self.total
        return self.taken[role], self.planned[role]

    def _inspect(self, output: StepOutput, role: str) -> Inspection:
        method = self.loop.method
        return inspect(self.phase.name, role, output, method.roles, method.trainable(role), method.zero_at_first)

    def _apply(self, optimizer: Any, divisor: float, clip: float, norm: float, found: Inspection | None) -> None:
        """Divide the gradients, clip them and step, with one pass over them for both, or none where none is needed.

        Args:
            optimizer: of the role.
            divisor: what is missing to the mean over the examples.
            clip: the largest norm that is let through; 0 for any.
            norm: of the mean gradient.
            found: on a role's first step; told on with whether the step moved anything.
        """
        params = [p for group in optimizer.param_groups for p in group["params"]]
        factor = (min(1.0, clip / (norm + CLIP_EPS)) if clip else 1.0) / divisor
        if factor != 1.0:
            torch._foreach_mul_(_gradients(optimizer), factor)  # pyright: ignore[reportPrivateImportUsage]
        before = [p.detach().clone() for p in params] if found else []
        optimizer.step()
        optimizer.zero_grad()
        if found:
            self.loop.observer.inspected(replace(found, moved=has_moved(before, params)))

    def _log(self, tally: Tally, done: int) -> None:
        self.loop.outcome.train_seconds += tally.seconds
        means, role = tally.means(), tally.last["role"]
        self.still_zero[role] = frozenset(name for name in self.still_zero[role] if means.get(name) == 0.0)
        self.loop.observer.step(
            {
                "step": done,
                "phase": self.phase.name,
                "epoch": round(self.taken[self.phase.leading_role] / self.steps_per_epoch, 4),
                **tally.last,
                **means,
                "examples_per_s": tally.count / tally.seconds if tally.seconds else None,
            },
            self.total,
        )
        self.tallies[role] = Tally()


def _gradients(optimizer: Any) -> list[Tensor]:
    return [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
