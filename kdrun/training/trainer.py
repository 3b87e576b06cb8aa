"""The training loop: runs phases, evaluates, keeps the best weights, resumes.

Position is a pair of counters (phase, step). Every random choice in a step is a function of these counters and the
seed, so a training that resumes from a checkpoint (`kdrun.training.trainer_state`) takes the same steps as one that
never stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from accelerate import Accelerator

from kdrun import ranks, sharding, signals, stage_times
from kdrun.config.runtime import CheckpointSelection
from kdrun.data.batch import BatchSource
from kdrun.errors import CheckpointError
from kdrun.methods.base import Method
from kdrun.methods.phases import Phase, check_last_phase_evaluated
from kdrun.storage import state_tensors
from kdrun.storage.checkpoint_files import CheckpointData
from kdrun.storage.checkpoint_manager import CheckpointManager
from kdrun.training import trainer_state
from kdrun.training.callbacks import TrainerCallback
from kdrun.training.context import TrainerContext, TrainerSettings, TrainResult
from kdrun.training.phase_runner import PhaseRunner
from kdrun.training.step_exchange import StepAgreement
from kdrun.training.trainer_state import rows_seen_by_all


class Trainer:
    """Runs the phases of a method.

    Args:
        method: defines the loss of each turn.
        phases: in order.
        loader: the training rows.
        settings: optimizers, seed, cadence.
        accelerator: device and arithmetic.
        evaluate: scores the student on the dev splits and returns (headline, scores); the headline decides the best
            checkpoint.
        callback: receives steps and evaluations.
        checkpoints: saves checkpoints and loads the one to resume from; without a manager nothing is saved.

    Raises:
        TrainingError: a loss or gradient is not finite, or a gradient reaches no parameter of its role.
        ValueError: the last phase in which the student takes part is not evaluated.
    """

    def __init__(
        self,
        method: Method,
        phases: list[Phase],
        loader: BatchSource,
        settings: TrainerSettings,
        accelerator: Accelerator,
        evaluate: Callable[[], tuple[float | None, dict[str, Any]]],
        callback: TrainerCallback,
        checkpoints: CheckpointManager | None = None,
    ) -> None:
        check_last_phase_evaluated(phases)
        self.context = TrainerContext(
            method, phases, loader, settings, accelerator, callback, self._last_checkpoint_note, self._is_checkpoint_due
        )
        self._evaluate, self.checkpoints = evaluate, checkpoints

    def run(self) -> TrainResult:
        """Train, and load the chosen checkpoint into the student and the modules trained with it.

        Raises:
            StopRequested: a signal arrived; the state was saved.
            CheckpointError: a checkpoint cannot be written, or the newest one is of another training.
        """
        context = self.context
        with signals.defer_signals(self.checkpoints is not None):
            checkpoint = self.checkpoints.load_latest() if self.checkpoints else None
            first = trainer_state.phase_number(context, checkpoint) if checkpoint else 0
            for number in range(first, len(context.phases)):
                runner, checkpoint = self._begin_phase(number, checkpoint), None
                try:
                    self._run_phase(runner)
                except CheckpointError as error:
                    raise CheckpointError(f"{error}{self._last_checkpoint_note()}") from error
                self._end_phase(runner)
        if ranks.size() > 1:
            context.loader.load_state(rows_seen_by_all(context.loader))
        for module in context.method.roles.values():
            module.requires_grad_(False).eval()
        return context.result

    def _is_checkpoint_due(self) -> bool:
        return self.checkpoints is not None and ranks.is_first() and self.checkpoints.is_due

    def _last_checkpoint_note(self) -> str:
        return f"; {self.checkpoints.last}" if self.checkpoints else ""

    def _begin_phase(self, number: int, checkpoint: CheckpointData | None) -> PhaseRunner:
        """The runner of a phase, at the start of the phase or where the checkpoint left off."""
        context = self.context
        phase, context.phase_number, context.best_state = context.phases[number], number, None
        if phase.evaluated:
            context.result.best, context.result.best_step = None, None
        if checkpoint is not None:
            trainer_state.restore_models(context, checkpoint)
        context.method.on_phase_start(phase)
        runner = PhaseRunner(context, phase, self.evaluate, self.checkpoint_if_due)
        if checkpoint is not None:
            trainer_state.restore_state(context, runner, checkpoint)
        return runner

    def _run_phase(self, runner: PhaseRunner) -> None:
        try:
            runner.run()
        except signals.StopRequested:  # between two steps, or in an evaluation, which changes nothing
            self._save_checkpoint(runner)
            raise
        is_last = self.context.phase_number + 1 == len(self.context.phases)
        if self.checkpoints and self.checkpoints.save_final and is_last:
            self._save_checkpoint(runner)

    def _end_phase(self, runner: PhaseRunner) -> None:
        """Count the steps of the phase and restore its best weights."""
        context = self.context
        for role, count in runner.steps_by_role.items():
            context.result.steps[role] = context.result.steps.get(role, 0) + count
        if context.best_state is not None and context.settings.select is CheckpointSelection.best_dev:
            for module, state in zip(context.method.trainable("student"), context.best_state, strict=True):
                state_tensors.load_module_tensors(module, state, "best weights")

    def checkpoint_if_due(self, runner: PhaseRunner) -> None:
        """Save a checkpoint if one is due; raise if a stop was requested. Called between two steps."""
        if ranks.size() == 1:
            signals.raise_if_requested()
            is_due = self._is_checkpoint_due()
        else:  # all processes stop, and save, after the same step
            signals.stop(runner.agreement.signal)
            is_due, runner.agreement = runner.agreement.checkpoint_due, StepAgreement(0)
        if is_due:
            self._save_checkpoint(runner)

    def _save_checkpoint(self, runner: PhaseRunner) -> None:
        if self.checkpoints is not None:
            runner.finish_checks()
            with stage_times.stage(stage_times.FILES):
                self.checkpoints.save(trainer_state.capture_state(self.context, runner))

    def evaluate(self, phase: str, step: int) -> bool:
        """Evaluate the student now and keep its weights if the score is the best of this phase (ties: the latest).

        Returns:
            Whether the score is better than all before in this phase; a tie is not.
        """
        context = self.context
        # a process that left alone would keep the others waiting: they stop together after the next step
        with signals.defer_signals(ranks.size() > 1):
            headline, scores = ranks.from_first(self._evaluate())
        record, best = {"phase": phase, "step": step, "eval": scores}, context.result.best
        is_best = headline is not None and (best is None or headline >= best)
        if is_best:
            context.result.best, context.result.best_step = headline, step
            context.best_state = [
                {name: value.clone() for name, value in state_tensors.module_tensors(module).items()}
                for module in context.method.trainable("student")
            ]
            weights = state_tensors.module_tensors(context.method.roles["student"])
            context.callback.on_best(record, sharding.gather(weights))
        context.callback.on_evaluate(record, is_best)
        return headline is not None and (best is None or headline > best)
