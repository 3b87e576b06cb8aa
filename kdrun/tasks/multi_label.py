"""Multi-label classification: one yes-or-no decision per class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kdrun.tasks import agreement, label_losses, metrics
from kdrun.tasks.answers import Answers, by_name, columns_by_name
from kdrun.tasks.base import Outputs, TaskType

if TYPE_CHECKING:
    from torch import Tensor

    from kdrun.data.tokenization import TokenizedSplit
    from kdrun.models.bundle import ModelBundle
    from kdrun.tasks.class_views import ClassView
    from kdrun.tasks.predictor import Predictor

PROBLEM_TYPE = "multi_label_classification"
"""`problem_type` of such a model's config, by which transformers knows it."""


class MultiLabelTask(TaskType):
    """Task type of multi-label classification: any number of the classes per row, also none.

    A model has one logit per class; the class is predicted where its sigmoid is above 0.5.
    """

    def describe_outputs(self) -> str:
        """The classes by name."""
        return f"any of {', '.join(self.task.labels)}"

    def loss_name(self, name: str | None) -> str:
        """Binary cross-entropy with the teacher's sigmoids."""
        return name or "bce"

    def hard_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Binary cross-entropy, averaged over the classes."""
        return label_losses.label_set_cross_entropy(logits, labels)

    def outputs(self, predictor: Predictor, bundle: ModelBundle, tokens: TokenizedSplit, limit: int | None) -> Outputs:
        """Logits, [rows, classes]."""
        return predictor.logits(bundle.model, tokens, self.task.num_outputs, limit)

    def score(self, outputs: Outputs, labels: np.ndarray, domains: np.ndarray | None) -> dict[str, float | None]:
        """The task's metrics of label sets; such a task has no domains."""
        return metrics.compute(self.task.metrics, (outputs > 0).astype(np.int64), labels, _sigmoid(outputs))

    def majority_baseline(self, labels: np.ndarray, domains: np.ndarray | None) -> dict[str, float | None]:
        """The metrics of the best constant label set."""
        return metrics.label_set_baseline(self.task.metrics, labels)

    def agreement(self, student: Outputs, teacher: Outputs) -> dict[str, float | None]:
        """The share of equal label sets, and the KL divergence per label."""
        return agreement.of_label_sets(student, teacher)

    def answers(self, outputs: Outputs, texts: Sequence[str]) -> Answers:
        """`prediction`, the names of the classes, and the probability of each class, which do not sum to 1."""
        predictions = [self.label_name(row) for row in (outputs > 0).tolist()]
        return Answers({"prediction": predictions}, columns_by_name(_sigmoid(outputs), self.task.labels))

    def probability_records(self, logits: np.ndarray) -> list[dict[str, float]]:
        """The sigmoid of each class by name."""
        return by_name(_sigmoid(logits), self.task.labels)

    def label_name(self, label: Any) -> list[str]:
        """The names of the classes of a label set."""
        return [name for name, is_present in zip(self.task.labels, label, strict=True) if is_present]

    def label_value(self, name: Any) -> Any:
        """1 for each class of a list of names, else 0, [classes]."""
        positions = [self.task.labels.index(one) for one in name]
        return [int(i in positions) for i in range(len(self.task.labels))]

    def class_view(self, tokenizer: Any, decoder_start_id: int | None) -> ClassView:
        """View with one decision per class."""
        from kdrun.tasks.class_views import MultiLabelClassView

        return MultiLabelClassView()

    def matches_model(self, config: Any) -> tuple[bool, str]:
        """Compare the names of the classes in order, and the `problem_type`."""
        names = [config.id2label[i] for i in range(config.num_labels)]
        is_multi_label = getattr(config, "problem_type", None) == PROBLEM_TYPE
        ending = "" if is_multi_label else " (one of them per row)"
        return is_multi_label and names == list(self.task.labels), ", ".join(names) + ending


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    """σ(z) without overflow, [rows, classes]."""
    return np.exp(-np.logaddexp(0, -logits.astype(np.float64)))
