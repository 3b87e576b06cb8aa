"""Run one phase: batch, loss, backward, clip, optimizer step, log.

Out-of-turn roles have `requires_grad` off, so they stay bit-identical while gradients still pass through
them to their inputs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kdrun import progress, ranks, rng, sharding, signals
from kdrun.methods.base import StepOutput
from kdrun.methods.phases import Phase, ScheduleSpan, Turn, num_steps, steps_by_role, steps_per_epoch, turn_at
from kdrun.training.callbacks import format_losses
from kdrun.training.context import TrainerContext
from kdrun.training.finite_checks import FiniteChecks, can_be_delayed
from kdrun.training.micro_batches import MicroBatches
from kdrun.training.running_means import RunningMeans
from kdrun.training.step_checks import (
    FirstStepReport,
    check_evenly_divided,
    check_first_step,
    weights_changed,
)
from kdrun.training.step_exchange import StepAgreement, StepGradient, agree_on_step, share_micro_batches

MAX_EVALUATIONS = 20
"""Most evaluations in a phase without `eval_every`: otherwise a phase over few rows evaluates after every step."""


class PhaseRunner:
    """One phase in progress: its optimizers, counters and running means.

    Args:
        context: state that outlives the phase.
        phase: the phase to run.
        evaluate: evaluates the student, given the phase's name and the step; returns whether its score improved.
        checkpoint_if_due: saves a checkpoint if one is due; called between two steps.

    Attributes:
        step: steps taken, of all roles together.
        steps_by_role: steps taken by each role.
        always_zero_terms: by role, the terms that may start at zero and were zero in every logged step.
        evaluation_due: whether the evaluation after the last step has yet to run.
        stale_evaluations: evaluations since the last improvement, for early stopping.
        agreement: agreement of several processes on the last step.
        is_sharded: whether a model's weights are divided among the processes.
    """

    def __init__(
        self,
        context: TrainerContext,
        phase: Phase,
        evaluate: Callable[[str, int], bool],
        checkpoint_if_due: Callable[[PhaseRunner], None],
    ) -> None:
        self.context, self.phase, self.settings = context, phase, context.settings
        self._evaluate, self._checkpoint_if_due = evaluate, checkpoint_if_due
        self.optims = context.method.optimizers(self.settings.optim, phase)
        self.steps_per_epoch = steps_per_epoch(phase, context.loader.num_rows)
        self.planned = steps_by_role(phase, num_steps(phase, context.loader.num_rows))
        self.total = sum(self.planned.values())
        default_interval = math.ceil(self.planned[phase.leading_role] / MAX_EVALUATIONS)
        self.eval_every = self.settings.eval_every or max(self.steps_per_epoch, default_interval)
        self.step, self.evaluation_due, self.steps_by_role = 0, False, dict.fromkeys(self.planned, 0)
        self.stale_evaluations, self._step_started = 0, 0.0
        self.micro_batches = {
            role: MicroBatches(context.loader, phase, role, self.settings.seed, count)
            for role, count in self.planned.items()
        }
        self.optimizers: dict[str, Any] = {}
        self.finite_checks: dict[str, FiniteChecks] = {}
        self.active: str | None = None
        self.running_means = {role: RunningMeans() for role in self.planned}
        self.always_zero_terms = dict.fromkeys(self.planned, context.method.may_start_at_zero)
        self._last_record: dict[str, Any] = {}
        self.agreement = StepAgreement(0)
        self.is_sharded = any(map(sharding.is_sharded, context.method.roles.values()))

    @property
    def is_over(self) -> bool:
        """Whether all steps and evaluations of the phase are done, or early stopping ended it."""
        return (self.step >= self.total or self.is_out_of_patience) and not self.evaluation_due

    @property
    def is_out_of_patience(self) -> bool:
        """Whether as many evaluations as `optim.patience` allows brought no better score."""
        return self.settings.optim.patience is not None and self.stale_evaluations >= self.settings.optim.patience

    def run(self) -> None:
        """Run the rest of the phase."""
        label = ", ".join(filter(None, (self.context.callback.label, self.phase.name)))
        with progress.track(label, self.total, "steps", self.step) as activity:
            while not self.is_over:
                if not self.evaluation_due:
                    self._advance()
                    activity.update(self.step, self._format_losses)
                if self.evaluation_due:
                    self._run_evaluation()
                self._checkpoint_if_due(self)
        self.finish_checks()
        for role, terms in self.always_zero_terms.items():
            if terms and self.steps_by_role[role] > 1:
                self.context.callback.on_zero_terms(self.phase.name, role, sorted(terms))
        if not self.phase.evaluated:
            self.context.callback.on_phase_end_unscored(
                {"phase": self.phase.name, "step": self.total, "role": self.phase.leading_role}
            )

    def _advance(self) -> None:
        """Take one step and log it."""
        turn = turn_at(self.phase.turns, self.step)
        if not self._is_stopped(turn.role):
            self._activate(turn.role)
            self._step_started = time.perf_counter()
            self._take_step(turn, self.micro_batches[turn.role].of_step(self.steps_by_role[turn.role]))
            self.running_means[turn.role].seconds += time.perf_counter() - self._step_started
        self.step += 1
        num_taken, is_last = self.steps_by_role[turn.role], self.step == self.total
        for role, means in self.running_means.items():
            if means.last and (is_last or (role == turn.role and num_taken % self.settings.log_every == 0)):
                self._log(means, self.step)
        is_leading = turn.role == self.phase.leading_role
        self.evaluation_due = self.phase.evaluated and (is_last or (is_leading and num_taken % self.eval_every == 0))

    def _format_losses(self) -> str:
        """Losses and speed since the last log record of the role that took the last step, or of this record."""
        running = self.running_means[turn_at(self.phase.turns, self.step - 1).role]
        return format_losses(running.record() if running.count else self._last_record)

    def finish_checks(self) -> None:
        """Check the last steps, of which the numbers may still be on the GPU, before anything depends on their weights.

        Raises:
            TrainingError: a loss or gradient is not finite.
        """
        for checks in self.finite_checks.values():
            checks.finish()

    def _run_evaluation(self) -> None:
        """Evaluate the student, and end the phase early if it has not improved for too long."""
        self.finish_checks()
        is_better = self._evaluate(self.phase.name, self.step)
        self.stale_evaluations = 0 if is_better else self.stale_evaluations + 1
        self.evaluation_due, self.active = False, None  # evaluation left the models in eval mode
        if self.is_out_of_patience and self.step < self.total:
            self._stop_early()

    def _stop_early(self) -> None:
        """Log the remaining sums and report why the phase ends before its budget."""
        for means in self.running_means.values():
            if means.last:
                self._log(means, self.step)
        role, count = self.phase.leading_role, self.stale_evaluations
        reason = f"no better score in {count} evaluation{'s' if count > 1 else ''} (optim.patience={count})"
        stop = {"role": role, "phase": self.phase.name, "step": self.step, "why": reason}
        self.context.result.stopped_roles.append(stop)
        self.context.callback.on_role_stopped(stop)

    def _is_stopped(self, role: str) -> bool:
        """Whether the method has stopped training a role; the first time, report the reason."""
        reason, stops = self.context.method.stop_reason(role), self.context.result.stopped_roles
        if reason and role not in [stop["role"] for stop in stops]:
            stops.append({"role": role, "phase": self.phase.name, "step": self.step, "why": reason})
            self.context.callback.on_role_stopped(stops[-1])
        return bool(reason)

    def _activate(self, role: str) -> None:
        """Unfreeze this role's modules; freeze all others and put them in eval mode."""
        if self.active == role:
            return
        for module in self.context.method.roles.values():
            module.requires_grad_(False).eval()
        trainable: list[nn.Module] = list(self.context.method.trainable(role))
        for module in trainable:
            module.requires_grad_(True).train()
        self.active = role

    def optimizer(self, role: str) -> Any:
        """A role's optimizer, created on its first use."""
        if role not in self.optimizers:
            config = self.optims[role]
            modules = self.context.method.trainable(role)
            self.optimizers[role] = self.settings.update_rule.make_optimizer(modules, config)
            check_evenly_divided(self.optimizers[role].param_groups, self.phase.name, role)
            is_delayed = can_be_delayed(self.optimizers[role], self.context.accelerator.device)
            self.finite_checks[role] = FiniteChecks(is_delayed)
        return self.optimizers[role]

    def _take_step(self, turn: Turn, group: list[tuple[int, np.ndarray]]) -> None:
        num_taken, means = self.steps_by_role[turn.role], self.running_means[turn.role]
        optimizer, config = self.optimizer(turn.role), self.optims[turn.role]
        lr = self.settings.update_rule.learning_rate(
            config, num_taken, self.planned[turn.role], self._decay_end(turn.role)
        )
        for param_group in optimizer.param_groups:
            param_group["lr"] = lr
        gradient = self._add_gradients(turn, group)
        count, divisor = self._agree(optimizer, gradient), gradient.loss_divisor
        rows = np.concatenate([rows for _, rows in group]).tolist()
        norm = self.finite_checks[turn.role].gradient_norm(optimizer, divisor, count, rows, self._where(turn))
        self._apply(optimizer, count / divisor, config.max_grad_norm, norm, gradient.report)
        self.context.method.on_step_end(turn)
        self.steps_by_role[turn.role] += 1
        means.last = {"role": turn.role, "lr": lr, "grad_norm": norm}
        self.context.result.examples += count

    def _add_gradients(self, turn: Turn, group: list[tuple[int, np.ndarray]]) -> StepGradient:
        """Add the gradient of this process's micro-batches of a step; an error of theirs is part of the result."""
        name, num_taken = self.phase.rng_name(turn.role), self.steps_by_role[turn.role]
        device, means, gradient = self.context.accelerator.device, self.running_means[turn.role], StepGradient()
        total = torch.zeros((), device=device)
        try:
            for (number, rows), counts in share_micro_batches(group, self.is_sharded):
                rng.seed_dropout(rng.derive(self.settings.seed, "dropout", name, number), device)
                batch = self.context.loader.load_batch(rows, name, number)
                batch.position = self.micro_batches[turn.role].position(num_taken, number)
                batch.progress = num_taken / self.planned[turn.role]
                with self.context.accelerator.autocast():
                    output = self.context.method.total_loss(batch, turn)
                self.finite_checks[turn.role].check_loss(output, batch.ids, self._where(turn))
                # without accumulation, dividing the loss saves a pass over the gradients
                gradient.loss_divisor = output.count if len(group) == 1 == ranks.size() else 1
                self.context.accelerator.backward(output.loss / gradient.loss_divisor if counts else 0 * output.loss)
                if not counts:
                    continue
                if num_taken == 0 and gradient.report is None:
                    gradient.report = self._inspect(output, turn.role)
                gradient.count, total = gradient.count + output.count, total + output.loss.detach()
                means.add(output.loss_terms | output.metrics)
        except Exception as error:
            if ranks.size() == 1 or self.is_sharded:  # the others wait in the passes that this process leaves out
                raise
            gradient.error = error
        means.add({"loss": total})
        means.count += gradient.count
        return gradient

    def _agree(self, optimizer: Any, gradient: StepGradient) -> int:
        """Number of the step's examples in all processes, whose gradients are summed."""
        if ranks.size() == 1:
            return gradient.count
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        is_due = self.context.is_checkpoint_due()
        self.agreement = agree_on_step(parameters, gradient.count, gradient.error, signals.pending(), is_due)
        return self.agreement.count

    def _where(self, turn: Turn) -> tuple[str, str]:
        """Beginning and end of an error message: the phase and step, and the last checkpoint."""
        return f"phase {self.phase.name!r}, {turn.role}'s step {self.step + 1}", self.context.last_checkpoint_note()

    def _decay_end(self, role: str) -> int:
        """Step of a role at which its schedule would end."""
        return self.total if self.phase.schedule_over is ScheduleSpan.all_batches else self.planned[role]

    def _inspect(self, output: StepOutput, role: str) -> FirstStepReport:
        m = self.context.method
        return check_first_step(self.phase.name, role, output, m.roles, m.trainable(role), m.may_start_at_zero)

    def _apply(
        self, optimizer: Any, divisor: float, max_norm: float, norm: float | Tensor, report: FirstStepReport | None
    ) -> None:
        """Take the step (arguments as for `UpdateRule.step`), and complete the report on a role's first step."""
        params = [p for group in optimizer.param_groups for p in group["params"]]
        before = [sharding.local_part(p).detach().clone() for p in params] if report else []
        self.settings.update_rule.step(optimizer, divisor, max_norm, norm)
        if report:
            seconds = time.perf_counter() - self._step_started
            changed = weights_changed(before, map(sharding.local_part, params))
            self.context.callback.on_first_step(replace(report, weights_changed=changed, seconds=seconds))

    def _log(self, running: RunningMeans, step: int) -> None:
        self.context.result.train_seconds += running.seconds
        means, role = running.of_all_processes().record(), running.last["role"]
        self.always_zero_terms[role] = frozenset(
            name for name in self.always_zero_terms[role] if means.get(name) == 0.0
        )
        epoch = round(self.steps_by_role[self.phase.leading_role] / self.steps_per_epoch, 4)
        self._last_record = {"step": step, "phase": self.phase.name, "epoch": epoch, **means}
        self.context.callback.on_log(self._last_record, self.total)
        self.running_means[role] = RunningMeans()
