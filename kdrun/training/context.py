"""State shared by the trainer, its phases and its checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from accelerate import Accelerator
from torch import Tensor

from kdrun.config.optim import OptimConfig
from kdrun.config.runtime import CheckpointSelection
from kdrun.data.batch import BatchSource
from kdrun.methods.base import Method
from kdrun.methods.phases import Phase
from kdrun.training.callbacks import TrainerCallback
from kdrun.training.optim import UpdateRule


@dataclass
class TrainResult:
    """Outcome of a training.

    Attributes:
        steps: optimizer steps by role.
        examples: training examples seen, with repeats.
        train_seconds: time in training steps, without evaluations.
        best: headline score of the checkpoint chosen in the last evaluated phase, if one was chosen by score.
        best_step: step of that checkpoint.
        stopped_roles: each role that stopped before the end of its budget: `role`, `phase`, `step`, `why`.
    """

    steps: dict[str, int] = field(default_factory=dict)
    examples: int = 0
    train_seconds: float = 0.0
    best: float | None = None
    best_step: int | None = None
    stopped_roles: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class TrainerSettings:
    """Optimizer, seed and cadence of a training.

    Attributes:
        optim: the student's optimizer and budget.
        seed: seed of every random stream of the training.
        log_every: optimizer steps of a role between two log records.
        eval_every: steps of the leading role between two evaluations; by default at most once per epoch.
        select: which checkpoint becomes the result.
        update_rule: turns gradients into steps.
    """

    optim: OptimConfig
    seed: int
    log_every: int = 20
    eval_every: int | None = None
    select: CheckpointSelection = CheckpointSelection.best_dev
    update_rule: UpdateRule = field(default_factory=UpdateRule)


@dataclass
class TrainerContext:
    """State that outlives a phase.

    Attributes:
        method: defines the loss of each turn.
        phases: in order.
        loader: the training rows.
        settings: optimizer, seed, cadence.
        accelerator: device and arithmetic.
        callback: receives steps and evaluations.
        last_checkpoint_note: describes the newest checkpoint, as the end of an error message.
        is_checkpoint_due: whether the interval between two checkpoints has passed.
        result: result of the training so far.
        phase_number: number of the phase in progress, from 0.
        best_state: best weights in this phase of each module that trains with the student.
    """

    method: Method
    phases: list[Phase]
    loader: BatchSource
    settings: TrainerSettings
    accelerator: Accelerator
    callback: TrainerCallback
    last_checkpoint_note: Callable[[], str]
    is_checkpoint_due: Callable[[], bool]
    result: TrainResult = field(default_factory=TrainResult)
    phase_number: int = 0
    best_state: list[dict[str, Tensor]] | None = None
