"""Interface of a task type: loss, prediction, metric, records."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from kdrun.config.task import TaskConfig
    from kdrun.data.tokenization import TokenizedSplit
    from kdrun.models.bundle import ModelBundle
    from kdrun.tasks.class_views import ClassView
    from kdrun.tasks.predictor import Predictor

Outputs = np.ndarray
"""What a model says of the rows of a split, one item a row: logits [rows, outputs], or `Written` objects [rows]."""


def softmax_by_name(logits: np.ndarray, names: Sequence[str]) -> list[dict[str, float]]:
    """Probabilities by name, rounded to six digits for files: a softmax of each row.

    Args:
        logits: [rows, classes].
        names: of the classes.
    """
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    parts = shifted / shifted.sum(axis=-1, keepdims=True)
    return [{name: round(float(p), 6) for name, p in zip(names, row, strict=True)} for row in parts]


class TaskType(ABC):
    """What follows from what a task asks for.

    Attributes:
        task: the task.
        synthetic_preset: tiny models on the embedded data.
        real_preset: small models on real data from a folder.
        writes: whether the answer is a text: batches then carry what is to be written, the teacher's logits are of
            each token and computed as they are needed, and models that are compared share a vocabulary.
    """

    synthetic_preset: str = "embedded"
    real_preset: str = "mini"
    generates_text: bool = False

    def __init__(self, task: TaskConfig) -> None:
        self.task = task

    @abstractmethod
    def describe_outputs(self) -> str:
        """What is to be answered, for the screen: the classes, a score, the types of entities."""

    @abstractmethod
    def loss_name(self, name: str | None) -> str:
        """The registered distillation loss that a run uses: the named one, else this kind's own."""

    @abstractmethod
    def soft_loss(self, name: str | None) -> Callable[[Tensor, Tensor, float], Tensor]:
        """That loss: `(student_logits, teacher_logits, temperature)` to one value per example, [batch]."""

    @abstractmethod
    def hard_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss on a batch's labels, [batch]."""

    @abstractmethod
    def outputs(self, predictor: Predictor, built: ModelBundle, tokens: TokenizedSplit, limit: int | None) -> Outputs:
        """What a model says of rows, in row order; with a limit only of so many batches."""

    @abstractmethod
    def score(self, outputs: Outputs, labels: np.ndarray, domains: np.ndarray | None) -> dict[str, float | None]:
        """The task's metrics."""

    @abstractmethod
    def majority_baseline(self, labels: np.ndarray, domains: np.ndarray | None) -> dict[str, float | None]:
        """The same of the best answer that is the same for every row."""

    @abstractmethod
    def prediction_records(self, outputs: Outputs, texts: Sequence[str]) -> list[dict[str, Any]]:
        """What outputs say of each row, for predictions.jsonl: `prediction` and what belongs to it.

        Args:
            outputs: of a split.
            texts: its rows' (first) texts.
        """

    @abstractmethod
    def label_name(self, label: Any) -> str | float:
        """A row's label, for predictions.jsonl."""

    @abstractmethod
    def class_view(self, tokenizer: Any, decoder_start_id: int | None) -> ClassView:
        """View of the task's models as classifiers, for methods that generate text.

        Args:
            tokenizer: of teacher and student.
            decoder_start_id: id that the teacher's decoder starts with; None for a model without a decoder.

        Raises:
            ModelError: the models cannot tell the task's classes apart.
        """

    @abstractmethod
    def matches_model(self, config: Any) -> tuple[bool, str]:
        """Whether a model's config says that it answers this task, and what it says."""

    def why_undefined(self) -> str:
        """Why a metric may have no value."""
        return "undefined: the predictions are constant"

    def notes_on(self, outputs: Outputs, texts: Sequence[str]) -> list[str]:
        """What of a model's outputs a reader of its scores should know, as ends of sentences; most often nothing.

        Args:
            outputs: of a split.
            texts: its rows' texts.
        """
        return []
