"""State of a run in progress."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from accelerate import Accelerator
from torch import nn

from kdrun import registry
from kdrun.config.requirements import Requirements
from kdrun.config.runtime import CheckpointSelection
from kdrun.config.schema import RunConfig
from kdrun.console import Console
from kdrun.data.dataset import TaskDataset
from kdrun.data.recorded.teacher import RecordedTeacher
from kdrun.data.special_tokens import special_token_note
from kdrun.data.splits import Split
from kdrun.data.tokenization import TokenizedSplit, tokenize
from kdrun.data.truncation import truncation_note
from kdrun.methods.base import Method
from kdrun.models.bundle import ModelBundle
from kdrun.runs.observation import EvaluationObserver
from kdrun.runs.run_dir import RunDirectory, Stopwatch
from kdrun.storage.run_result import Scores
from kdrun.tasks.base import Outputs
from kdrun.tasks.evaluator import Evaluator
from kdrun.training.step_checks import FirstStepReport
from kdrun.training.trainer import TrainResult


@dataclass(frozen=True)
class PreflightCheck:
    """One check before a training: its name, whether it passed, the observed value, and the remedy."""

    name: str
    ok: bool
    value: str
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """Facts of a run that are known before anything is loaded.

    Attributes:
        config: validated config.
        command: command line that repeats the run.
        console: where to print.
        accelerator: device and precision.
        run_dir: folder of the run; None for a dry run.
        requires: requirements of the method.
        stopwatch: time of the run; a resumed run counts the time before.
        is_check: whether this is the dry run of `kdrun check`, which uses a real teacher.
        observer: receives the student's evaluations and may stop the run; None for most runs.
    """

    config: RunConfig
    command: str
    console: Console
    accelerator: Accelerator
    run_dir: RunDirectory | None
    requires: Requirements
    stopwatch: Stopwatch
    is_check: bool = False
    observer: EvaluationObserver | None = None

    def compared_layers(self, roles: Mapping[str, ModelBundle]) -> list[tuple[str, str]]:
        """Layers of student and teacher that the method compares, for the console; none for most methods.

        The method may run the models, so they must be whole and on the CPU.

        Raises:
            ModelError: the models do not fit each other or the method.
        """
        if not self.requires.compares_states:
            return []
        method: type[Method] = registry.get("method", self.config.method.name).target
        return method.compared_layers(self.config.method, roles["student"].model, roles["teacher"].model)


@dataclass(frozen=True, kw_only=True)
class PreparedRun(RunContext):
    """A run with its data, its evaluator and its models.

    Attributes:
        data: rows of the run.
        evaluator: scores models on the dev splits.
        roles: role → model; the teacher is fine-tuned once `prepare_teacher` has run.
        recorded: answers of a recorded teacher on the rows, which takes the place of a teacher's model.
        layers: layers of student and teacher that the method compares, for the console.
    """

    data: TaskDataset
    evaluator: Evaluator
    roles: Mapping[str, ModelBundle]
    recorded: RecordedTeacher | None = None
    layers: list[tuple[str, str]] = field(default_factory=list)
    _tokens: dict[str, dict[str, TokenizedSplit]] = field(default_factory=dict, repr=False)

    @property
    def used_roles(self) -> list[str]:
        """Roles that the method uses; not a teacher that only provided the student's vocabulary or layers."""
        return [role for role in self.roles if role != "teacher" or self.requires.teacher]

    def with_teacher(self, bundle: ModelBundle) -> PreparedRun:
        """The same run with a fine-tuned teacher."""
        return replace(self, roles={**self.roles, "teacher": bundle})

    @property
    def text_splits(self) -> dict[str, Split]:
        """The dev splits and, as `train`, the student's training rows."""
        return self.data.splits | {"train": self.data.student_rows}

    def tokens(self, role: str) -> dict[str, TokenizedSplit]:
        """Tokens of the dev splits and, as `train`, of the student's training rows.

        Roles with the same tokenizer and the same prompts share them.
        """
        if role not in self._tokens:
            bundle = self.roles[role]
            for other, tokens in self._tokens.items():
                if self.roles[other].tokenizer is bundle.tokenizer and self.roles[other].prompts == bundle.prompts:
                    self._tokens[role] = tokens
                    return tokens
            length, splits = self.config.data.max_length, self.text_splits
            self._tokens[role] = {
                name: tokenize(split, bundle.tokenizer, length, bundle.prompts) for name, split in splits.items()
            }
            for note in (
                truncation_note(role, self._tokens[role], length),
                special_token_note(role, splits, bundle.tokenizer),
            ):
                if note is not None:
                    self.console.note(note)
        return self._tokens[role]

    def dev_tokens(self, role: str) -> dict[str, TokenizedSplit]:
        """A role's tokens of the dev splits."""
        return {split: table for split, table in self.tokens(role).items() if split != "train"}

    @property
    def select(self) -> CheckpointSelection:
        """Which checkpoint is the result; by default the last one in a run without the task's training rows."""
        return self.config.checkpoint_selection or (
            CheckpointSelection.best_dev if self.trains_on_task_rows else CheckpointSelection.last
        )

    @property
    def trains_on_task_rows(self) -> bool:
        """Whether the student trains on the task's own rows; otherwise at most its teacher reads them."""
        return "train" in self.data.splits


@dataclass(frozen=True)
class TeacherResult:
    """The final teacher of a run.

    Attributes:
        bundle: the frozen model; None for a recorded teacher.
        outputs: split → its outputs on the dev rows; of the splits evaluated during training, and at the end of a run
            of all; empty in a dry run, and without splits that a recorded teacher does not cover.
        scores: scores of these outputs, of a split without outputs None per metric; None in a dry run.
        modules: modules besides the model that methods use, by role.
        agreement: the student's agreement with it on the splits with outputs, at the end of a run.
        rows_read: number of distinct rows of its fine-tuning, by domain or as `all`; None if an older cache entry
            does not record it, or for a recorded teacher.
        transferability: weight of each student row, [rows]; None without a meta-teacher.
    """

    bundle: ModelBundle | None
    outputs: Mapping[str, Outputs] = field(default_factory=dict)
    scores: Scores | None = None
    agreement: Scores = field(default_factory=dict)
    modules: Mapping[str, nn.Module] = field(default_factory=dict)
    rows_read: Mapping[str, int] | None = field(default_factory=lambda: {"all": 0})
    transferability: np.ndarray | None = None


@dataclass(frozen=True)
class StudentResult:
    """A finished training of the student.

    Attributes:
        training: steps, examples, seconds and the chosen checkpoint.
        samples: generated text of the last evaluation.
        first_steps: reports of the first step of each role.
    """

    training: TrainResult
    samples: list[dict[str, Any]]
    first_steps: list[FirstStepReport]
