"""Metrics by name: functions of predictions and references.

A metric in group `metric` of the registry has the signature `(predictions, references) -> float | None`; higher is
better. A metric with `needs_probabilities=True` takes probabilities, [rows, classes], instead of predictions. Classes
are indices, [rows]; label sets are 0 and 1, [rows, classes]. A metric that is undefined on the given rows is None,
never a replacement value; `undefined=…` says when.

Importing scikit-learn or SciPy takes as long as a small run, so the usual metrics are computed here, to the bit as in
scikit-learn (`tests/unit/tasks/test_metrics.py`); others import it on the first call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from kdrun.data import entities, text_overlap
from kdrun.registry import Answers, register

CORRELATIONS = ("pearson", "spearman")
"""Metrics that are undefined for a constant prediction."""
CONSTANT = "the predictions are constant"
CLASSES_OR_SETS: tuple[Answers, ...] = ("classes", "label sets")


@register("metric", "accuracy", answers="classes")
def accuracy(predictions: np.ndarray, references: np.ndarray) -> float:
    """Fraction of equal classes."""
    return float((np.asarray(predictions) == np.asarray(references)).mean())


@register("metric", "exact_match", answers=("label sets", "texts"))
def exact_match(predictions: Any, references: Any) -> float:
    """Fraction of rows whose label set, or whose text without case and blanks, is predicted exactly."""
    if np.ndim(references) == 1:
        return text_overlap.mean(text_overlap.is_equal, predictions, references)
    return float((predictions == references).all(axis=1).mean())


@register("metric", "f1", answers="two classes", undefined="no row of class 1 is gold or predicted")
def f1(predictions: np.ndarray, references: np.ndarray) -> float | None:
    """F1 of class 1, as GLUE computes it for MRPC and QQP; None without any class 1."""
    classes = np.union1d(predictions, references)
    if not set(classes.tolist()) <= {0, 1}:
        raise ValueError(f"f1 needs classes 0 and 1, got classes {classes.tolist()}")
    if 1 not in classes:
        return None
    return float(_f1(*_counts(predictions[:, None] == 1, references[:, None] == 1))[0])


@register("metric", "macro_f1", answers=CLASSES_OR_SETS, undefined="no class is gold or predicted")
def macro_f1(predictions: np.ndarray, references: np.ndarray) -> float | None:
    """Unweighted mean of the F1 of each class that is predicted or gold; None without any."""
    return _f1_of_classes(predictions, references, "macro")


@register("metric", "micro_f1", answers=CLASSES_OR_SETS, undefined="no class is gold or predicted")
def micro_f1(predictions: np.ndarray, references: np.ndarray) -> float | None:
    """F1 of the counts over all classes; the accuracy where each row has one class. None without any class."""
    return _f1_of_classes(predictions, references, "micro")


@register("metric", "weighted_f1", answers=CLASSES_OR_SETS, undefined="no class is gold")
def weighted_f1(predictions: np.ndarray, references: np.ndarray) -> float | None:
    """Mean of the F1 of each class, weighted by its gold rows; None without any gold class."""
    return _f1_of_classes(predictions, references, "weighted") if references.ndim == 1 or references.any() else None


def _f1_of_classes(
    predictions: np.ndarray, references: np.ndarray, average: Literal["macro", "micro", "weighted"]
) -> float | None:
    """F1 over the classes that are predicted or gold, of class indices or label sets; None without any."""
    if references.ndim == 1:
        predictions, references = _one_hot(predictions, references)
    both, predicted, gold = _counts(predictions, references)
    present = predicted + gold > 0
    if not present.any():
        return None
    both, predicted, gold = both[present], predicted[present], gold[present]
    if average == "micro":
        return float(_f1(both.sum(), predicted.sum(), gold.sum()))
    return float(np.average(_f1(both, predicted, gold), weights=gold if average == "weighted" else None))


def _one_hot(predictions: np.ndarray, references: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether each row is of each class that is predicted or gold, [rows, classes] each."""
    classes = np.union1d(predictions, references)
    return predictions[:, None] == classes, references[:, None] == classes


def _counts(predictions: np.ndarray, references: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows per class that are predicted and gold, predicted, and gold, [classes] each, of sets [rows, classes]."""
    predicted, gold = predictions.astype(bool), references.astype(bool)
    return (predicted & gold).sum(axis=0), predicted.sum(axis=0), gold.sum(axis=0)


def _f1(both: np.ndarray, predicted: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """F1 of counts that are not all zero."""
    return 2.0 * both / (gold + predicted)


@register("metric", "mcc", answers="classes")
def mcc(predictions: np.ndarray, references: np.ndarray) -> float:
    """Matthews' correlation for any number of classes; 0 by convention if either side is constant."""
    if np.ptp(predictions) == 0 or np.ptp(references) == 0:
        return 0.0  # 0/0 is 0 by convention
    both, predicted, gold = (counts.astype(np.float64) for counts in _counts(*_one_hot(predictions, references)))
    rows = float(len(references))
    covariance = both.sum() * rows - gold @ predicted
    variances = (rows**2 - predicted @ predicted) * (rows**2 - gold @ gold)
    return float(covariance / np.sqrt(variances))


@register(
    "metric",
    "roc_auc",
    answers=CLASSES_OR_SETS,
    needs_probabilities=True,
    undefined="a class has no row, or every row",
)
def roc_auc(probabilities: np.ndarray, references: np.ndarray) -> float | None:
    """Area under the ROC curve: of class 1 of two; else the mean over classes, one against the rest.

    None if a class has no row or every row.
    """
    positives, scores = one_against_rest(probabilities, references)
    if positives.all(axis=0).any() or not positives.any(axis=0).all():
        return None
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(positives, scores, average="macro"))


@register(
    "metric", "average_precision", answers=CLASSES_OR_SETS, needs_probabilities=True, undefined="a class has no row"
)
def average_precision(probabilities: np.ndarray, references: np.ndarray) -> float | None:
    """Average precision: of class 1 of two; else the mean over classes, one against the rest.

    The sum over thresholds of the gain in recall times the precision, without interpolation. None if a class has no
    row.
    """
    positives, scores = one_against_rest(probabilities, references)
    if not positives.any(axis=0).all():
        return None
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(positives, scores, average="macro"))


def one_against_rest(probabilities: np.ndarray, references: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether a row is of each class, and its probability, [rows, classes] each; [rows] of class 1 of two classes."""
    if references.ndim == 2:
        return references, probabilities
    positives = (references[:, None] == np.arange(probabilities.shape[1])).astype(np.int64)
    return (positives[:, 1], probabilities[:, 1]) if probabilities.shape[1] == 2 else (positives, probabilities)


@register("metric", "pearson", answers="scores", undefined=CONSTANT)
def pearson(predictions: np.ndarray, references: np.ndarray) -> float | None:
    """Pearson's correlation; None for fewer than two rows or a constant up to rounding."""
    if len(references) < 2 or _is_constant(predictions) or _is_constant(references):
        return None
    from scipy.stats import pearsonr

    result: Any = pearsonr(predictions, references)
    return float(result.statistic)


@register("metric", "spearman", answers="scores", undefined=CONSTANT)
def spearman(predictions: np.ndarray, references: np.ndarray) -> float | None:
    """Spearman's rank correlation; None for fewer than two rows or a constant."""
    if len(references) < 2 or np.ptp(predictions) == 0 or np.ptp(references) == 0:
        return None
    from scipy.stats import spearmanr

    result: Any = spearmanr(predictions, references)
    return float(result.statistic)


@register("metric", "rouge_l", answers="texts")
def rouge_l(predictions: Sequence[str], references: Sequence[str]) -> float:
    """Mean ROUGE-L: F1 of the longest common subsequence of words."""
    return text_overlap.mean(text_overlap.rouge_l, predictions, references)


@register("metric", "entity_f1", answers="entities")
def entity_f1(predictions: Sequence[str], references: Sequence[str]) -> float | None:
    """Micro F1 of the entities of all sentences; None without any entity."""
    return entities.score(references, predictions)["entity_f1"]


@register("metric", "entity_precision", answers="entities")
def entity_precision(predictions: Sequence[str], references: Sequence[str]) -> float | None:
    """Fraction of the predicted entities that are correct; None if none is predicted."""
    return entities.score(references, predictions)["entity_precision"]


@register("metric", "entity_recall", answers="entities")
def entity_recall(predictions: Sequence[str], references: Sequence[str]) -> float | None:
    """Fraction of the gold entities that are found; None if there are none."""
    return entities.score(references, predictions)["entity_recall"]


def _is_constant(values: np.ndarray) -> bool:
    """Whether values are constant up to rounding, by SciPy's bound for Pearson's correlation."""
    if np.ptp(values) == 0:
        return True
    center = values.mean()
    return bool(np.linalg.norm(values - center) <= 1e-13 * abs(center))
