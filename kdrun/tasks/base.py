"""Interface of a task type: loss, prediction, metric, records."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from kdrun import registry

if TYPE_CHECKING:
    from torch import Tensor

    from kdrun.config.task import TaskConfig
    from kdrun.data.tokenization import TokenizedSplit
    from kdrun.models.bundle import ModelBundle
    from kdrun.tasks.answers import Answers
    from kdrun.tasks.class_views import ClassView
    from kdrun.tasks.predictor import Predictor

Outputs = np.ndarray
"""A model's outputs on the rows of a split: logits [rows, outputs], or `GeneratedAnswer` objects [rows]."""


def softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax of each row, [rows, classes], in the precision of the logits."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


class TaskType(ABC):
    """Loss, prediction, metrics and records of one type of task.

    Attributes:
        task: the task.
        synthetic_preset: tiny models on the embedded data.
        real_preset: small models on real data from a folder.
        generates_text: whether the answer is a text. If so, batches carry the target text, the teacher's logits are
            computed per token in every batch, and teacher and student share a vocabulary.
        empty_values: values of the columns of `answers` for a row that was not predicted, other than None.
    """

    synthetic_preset: str = "embedded"
    real_preset: str = "mini"
    generates_text: bool = False
    empty_values: Mapping[str, Any] = {}

    def __init__(self, task: TaskConfig) -> None:
        self.task = task

    @abstractmethod
    def describe_outputs(self) -> str:
        """Describe the answers for the console: the classes, a score, the types of entities."""

    @abstractmethod
    def loss_name(self, name: str | None) -> str:
        """Name of the run's distillation loss: the given name, or the default of the task type."""

    def soft_loss(self, name: str | None, **settings: float) -> Callable[[Tensor, Tensor, float], Tensor]:
        """The distillation loss: `(student_logits, teacher_logits, temperature)` to one value per example, [batch].

        Args:
            name: registered loss; None for the default of the task type.
            settings: further settings of the loss by name.
        """
        return partial(registry.get("loss", self.loss_name(name)).target, **settings)

    @abstractmethod
    def hard_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss on a batch's labels, one value per example, [batch]."""

    @abstractmethod
    def outputs(self, predictor: Predictor, bundle: ModelBundle, tokens: TokenizedSplit, limit: int | None) -> Outputs:
        """A model's outputs in row order; with a limit, of that many batches only."""

    @abstractmethod
    def score(self, outputs: Outputs, labels: np.ndarray, domains: np.ndarray | None) -> dict[str, float | None]:
        """The task's metrics; with domains, also per domain."""

    @abstractmethod
    def majority_baseline(self, labels: np.ndarray, domains: np.ndarray | None) -> dict[str, float | None]:
        """The metrics of the best constant prediction."""

    @abstractmethod
    def agreement(self, student: Outputs, teacher: Outputs) -> dict[str, float | None]:
        """Measures of how far a student answers like its teacher (`kdrun.tasks.agreement`), on rows of any labels.

        Args:
            student: outputs on some rows.
            teacher: outputs on the same rows.
        """

    @abstractmethod
    def answers(self, outputs: Outputs, texts: Sequence[str]) -> Answers:
        """The answers of a model's outputs: `prediction` and related values.

        Args:
            outputs: a model's outputs on a split.
            texts: the (first) text of each row.
        """

    def prediction_records(self, outputs: Outputs, texts: Sequence[str]) -> list[dict[str, Any]]:
        """A record per row for predictions.jsonl; arguments as for `answers`."""
        return self.answers(outputs, texts).records()

    @abstractmethod
    def probability_records(self, logits: np.ndarray) -> list[dict[str, float]]:
        """Probabilities by class name of each row, or its `score`.

        Args:
            logits: of `ClassView.as_classifier`, [rows, outputs].
        """

    @abstractmethod
    def label_name(self, label: Any) -> str | float | list[str]:
        """A row's label, for predictions.jsonl."""

    @abstractmethod
    def label_value(self, name: Any) -> Any:
        """A row's label as in `Split.labels`, from its name in predictions.jsonl.

        Raises:
            ValueError: the task has no such label.
        """

    @abstractmethod
    def class_view(self, tokenizer: Any, decoder_start_id: int | None) -> ClassView:
        """View of the task's models as classifiers, for methods that generate text.

        Args:
            tokenizer: tokenizer of teacher and student.
            decoder_start_id: id of the first token of the teacher's decoder; None for a model without a decoder.

        Raises:
            ModelError: the models cannot distinguish the task's classes.
        """

    @abstractmethod
    def matches_model(self, config: Any) -> tuple[bool, str]:
        """Whether a model's config has this task's outputs, and a description of the config's outputs."""

    def why_undefined(self, metric: str) -> str:
        """Reason for an undefined metric, by its name, which may end with a domain."""
        from kdrun.tasks.metrics import undefined_reason

        names = [name for name in self.task.metrics if metric == name or metric.startswith(f"{name}_")]
        return f"undefined: {undefined_reason(max(names, key=len))}" if names else "undefined"

    def notes_on(self, outputs: Outputs, texts: Sequence[str]) -> list[str]:
        """Notes on a model's outputs for a reader of the scores, each the end of a sentence; usually none.

        Args:
            outputs: a model's outputs on a split.
            texts: the text of each row.
        """
        return []
