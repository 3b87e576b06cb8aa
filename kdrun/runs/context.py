"""State of a run in progress."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from accelerate import Accelerator

from kdrun.config.requirements import Requirements
from kdrun.config.runtime import CheckpointSelection
from kdrun.config.schema import RunConfig
from kdrun.console import Console
from kdrun.data.dataset import TaskDataset
from kdrun.data.tokenization import TokenizedSplit, tokenize
from kdrun.models.bundle import ModelBundle
from kdrun.runs.run_dir import RunDirectory
from kdrun.storage.run_result import GeneratedTextResult, Scores
from kdrun.tasks.base import Outputs
from kdrun.tasks.evaluator import Evaluator
from kdrun.training.metric_loggers import MetricLogger
from kdrun.training.step_checks import FirstStepReport
from kdrun.training.teacher import finetune


@dataclass(frozen=True)
class PreflightCheck:
    """One thing that must be so for a run to be sound: what was looked at, what was found, what mends it."""

    name: str
    ok: bool
    found: str
    remedy: str = ""


@dataclass
class RunContext:
    """A run in progress: its config, what it has loaded so far, and where it writes.

    `is_check` marks a dry run whose teacher is real: `kdrun check`. `generated` is what is known of the text that the
    run leaves behind, `taught` the teacher as it was fine-tuned; `transferability` is that of the student's rows, for a
    method that needs a meta-teacher.
    """

    config: RunConfig
    command: str
    console: Console
    accelerator: Accelerator
    run_dir: RunDirectory | None
    requires: Requirements
    data: TaskDataset
    evaluator: Evaluator
    started: float
    roles: dict[str, ModelBundle] = field(default_factory=dict)
    _tokens: dict[str, dict[str, TokenizedSplit]] = field(default_factory=dict)
    tracking: MetricLogger | None = None
    samples: list[dict[str, Any]] = field(default_factory=list)
    generated: GeneratedTextResult | None = None
    is_check: bool = False
    checks: list[PreflightCheck] = field(default_factory=list)
    inspections: list[FirstStepReport] = field(default_factory=list)
    teacher_outputs: dict[str, Outputs] = field(default_factory=dict)
    teacher_scores: Scores | None = None
    finetuned_teacher: finetune.FineTunedTeacher | None = None
    transferability: np.ndarray | None = None

    @property
    def used_roles(self) -> list[str]:
        """The roles that take part: a teacher that only lent its vocabulary or layers does not."""
        return [role for role in self.roles if role != "teacher" or self.requires.teacher]

    def tokens(self, role: str) -> dict[str, TokenizedSplit]:
        """Tokens of the dev splits and, as `train`, of the rows that the student learns from.

        Roles with the same tokenizer and the same prompts share them.
        """
        if role not in self._tokens:
            bundle = self.roles[role]
            for other, splits in self._tokens.items():
                if self.roles[other].tokenizer is bundle.tokenizer and self.roles[other].prompts == bundle.prompts:
                    self._tokens[role] = splits
                    return splits
            length = self.config.data.max_length
            self._tokens[role] = {
                name: tokenize(split, bundle.tokenizer, length, bundle.prompts)
                for name, split in (self.data.splits | {"train": self.data.student_rows}).items()
            }
        return self._tokens[role]

    def dev_tokens(self, role: str) -> dict[str, TokenizedSplit]:
        """A role's tokens of the dev splits."""
        return {split: table for split, table in self.tokens(role).items() if split != "train"}

    @property
    def select(self) -> CheckpointSelection:
        """Which checkpoint becomes the result: a run without the task's rows has none to choose by, unless told to."""
        return self.config.checkpoint_selection or (
            CheckpointSelection.best_dev if self.trains_on_task_rows else CheckpointSelection.last
        )

    @property
    def trains_on_task_rows(self) -> bool:
        """Whether the student learns from the task's own rows; where not, at most its teacher reads them."""
        return "train" in self.data.splits
