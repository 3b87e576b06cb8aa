"""Classification and regression: the model's logits are the prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kdrun import losses
from kdrun.tasks import agreement, metrics
from kdrun.tasks.answers import Answers, by_name, columns_by_name
from kdrun.tasks.base import Outputs, TaskType, softmax

if TYPE_CHECKING:
    from torch import Tensor

    from kdrun.data.tokenization import TokenizedSplit
    from kdrun.models.bundle import ModelBundle
    from kdrun.tasks.class_views import ClassView
    from kdrun.tasks.predictor import Predictor


class ClassificationTask(TaskType):
    """Task type of classification and regression: the answer is one of several classes, or a score."""

    def describe_outputs(self) -> str:
        """The classes by name, or a score."""
        return ", ".join(self.task.labels) or "a score"

    def loss_name(self, name: str | None) -> str:
        """KL for classes, the squared difference for a score."""
        return losses.default_loss(name, self.task.is_regression)

    def hard_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy for classes, squared error for a score."""
        return losses.hard_loss(self.task.is_regression)(logits, labels)

    def outputs(self, predictor: Predictor, bundle: ModelBundle, tokens: TokenizedSplit, limit: int | None) -> Outputs:
        """Logits, [rows, outputs]."""
        return predictor.logits(bundle.model, tokens, self.task.num_outputs, limit)

    def predictions(self, outputs: Outputs) -> np.ndarray:
        """Class indices, or scores for a regression task, [rows]."""
        return outputs[:, 0] if self.task.is_regression else outputs.argmax(axis=-1)

    def score(self, outputs: Outputs, labels: np.ndarray, domains: np.ndarray | None) -> dict[str, float | None]:
        """The task's metrics; with domains, their unweighted mean and the value per domain."""
        names, predictions = list(self.task.metrics), self.predictions(outputs)
        probabilities = None if self.task.is_regression else softmax(outputs.astype(np.float64))
        if domains is None:
            return metrics.compute(names, predictions, labels, probabilities)
        return metrics.by_domain(names, predictions, labels, domains, self.task.domains, probabilities)

    def majority_baseline(self, labels: np.ndarray, domains: np.ndarray | None) -> dict[str, float | None]:
        """The metrics of the most frequent class, or of the mean score."""
        return metrics.majority_baseline(self.task, labels, domains)

    def agreement(self, student: Outputs, teacher: Outputs) -> dict[str, float | None]:
        """The share of equal classes and the KL divergence, or the correlation of the scores."""
        if self.task.is_regression:
            return agreement.of_scores(student[:, 0], teacher[:, 0])
        return agreement.of_classes(student, teacher)

    def answers(self, outputs: Outputs, texts: Sequence[str]) -> Answers:
        """`prediction`, and for classes their probabilities."""
        predictions = self.predictions(outputs).tolist()
        if self.task.is_regression:
            return Answers({"prediction": predictions})
        labels = self.task.labels
        return Answers(
            {"prediction": [labels[best] for best in predictions]}, columns_by_name(softmax(outputs), labels)
        )

    def probability_records(self, logits: np.ndarray) -> list[dict[str, float]]:
        """The softmax over the classes by name, or the `score`."""
        if self.task.is_regression:
            return [{"score": float(value)} for value in logits[:, 0]]
        return by_name(softmax(logits), self.task.labels)

    def label_name(self, label: Any) -> str | float:
        """A class by name, or a score."""
        return float(label) if self.task.is_regression else self.task.labels[int(label)]

    def label_value(self, name: Any) -> Any:
        """The index of a class, or a score."""
        return float(name) if self.task.is_regression else self.task.labels.index(name)

    def class_view(self, tokenizer: Any, decoder_start_id: int | None) -> ClassView:
        """View with the models' classes unchanged."""
        from kdrun.tasks.class_views import ClassView

        return ClassView()

    def matches_model(self, config: Any) -> tuple[bool, str]:
        """Compare the names of the classes in order, or check for one output for a score."""
        if self.task.is_regression:
            return config.num_labels == 1, f"{config.num_labels} output(s) for a score"
        names = [config.id2label[i] for i in range(config.num_labels)]
        return names == list(self.task.labels), ", ".join(names)
