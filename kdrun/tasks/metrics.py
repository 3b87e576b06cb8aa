"""Metrics on scikit-learn and SciPy; undefined values are None.

Teacher, student and majority baseline are all scored by `compute`. A metric that is undefined on the given rows is
None, never a replacement value. scikit-learn is slow to load, so it is imported on the first call. A metric in group
`metric` of the registry has the signature `(predictions, references) -> float | None`; higher is better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kdrun import registry
from kdrun.data import entities
from kdrun.errors import ConfigError, DataError, TrainingError
from kdrun.registry import register

if TYPE_CHECKING:
    from kdrun.config.task import TaskConfig

CORRELATIONS = ("pearson", "spearman")
"""Metrics that are undefined for a constant prediction."""


@register("metric", "accuracy", answers="classes")
def accuracy(predictions: np.ndarray, references: np.ndarray) -> float:
    """Fraction of equal classes."""
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(references, predictions))


@register("metric", "f1", answers="two classes")
def f1(predictions: np.ndarray, references: np.ndarray) -> float | None:
    """F1 of class 1, as GLUE computes it for MRPC and QQP; None without any class 1."""
    classes = np.union1d(predictions, references)
    if not set(classes.tolist()) <= {0, 1}:
        raise ValueError(f"f1 needs classes 0 and 1, got classes {classes.tolist()}")
    if 1 not in classes:
        return None
    from sklearn.metrics import f1_score

    return float(f1_score(references, predictions, pos_label=1, average="binary"))


@register("metric", "macro_f1", answers="classes")
def macro_f1(predictions: np.ndarray, references: np.ndarray) -> float:
    """Unweighted mean of the F1 of each class that is predicted or gold."""
    from sklearn.metrics import f1_score

    return float(f1_score(references, predictions, average="macro"))


@register("metric", "mcc", answers="classes")
def mcc(predictions: np.ndarray, references: np.ndarray) -> float:
    """Matthews' correlation for any number of classes; 0 by convention if either side is constant."""
    if np.ptp(predictions) == 0 or np.ptp(references) == 0:
        return 0.0  # 0/0 is 0 by convention; decided before scikit-learn, which warns about a single class
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(references, predictions))


@register("metric", "pearson", answers="scores")
def pearson(predictions: np.ndarray, references: np.ndarray) -> float | None:
    """Pearson's correlation; None for fewer than two rows or a constant up to rounding."""
    if len(references) < 2 or _is_constant(predictions) or _is_constant(references):
        return None
    from scipy.stats import pearsonr

    result: Any = pearsonr(predictions, references)
    return float(result.statistic)


@register("metric", "spearman", answers="scores")
def spearman(predictions: np.ndarray, references: np.ndarray) -> float | None:
    """Spearman's rank correlation; None for fewer than two rows or a constant."""
    if len(references) < 2 or np.ptp(predictions) == 0 or np.ptp(references) == 0:
        return None
    from scipy.stats import spearmanr

    result: Any = spearmanr(predictions, references)
    return float(result.statistic)


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


def vector_metrics() -> list[str]:
    """Registered metrics of classes or scores; all but those of entities."""
    return [name for name, entry in registry.entries("metric").items() if "entities" not in entry.answers]


def compute(names: list[str], predictions: np.ndarray, references: np.ndarray) -> dict[str, float | None]:
    """The named metrics of predictions against references.

    Fractions and correlations, not percent.

    Args:
        names: registered metrics of classes or scores.
        predictions: predicted classes (not logits) or scores, [rows].
        references: gold classes or scores, [rows].

    Returns:
        A value per name, in the order of `names`; None for a metric that is undefined on these rows.

    Raises:
        ConfigError: an unknown name.
        DataError: no rows, or a reference that is not finite.
        TrainingError: a prediction that is not finite.
        ValueError: not two vectors of the same length, or values other than class indices for a metric of classes.
    """
    components, problems = {}, []
    for name in names:
        try:
            components[name] = registry.get("metric", name)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    pair = _checked(
        [name for name, entry in components.items() if "scores" not in entry.answers], predictions, references
    )
    return {name: entry.target(*pair) for name, entry in components.items()}


def by_domain(
    names: list[str], predictions: np.ndarray, references: np.ndarray, domains: np.ndarray, domain_names: list[str]
) -> dict[str, float | None]:
    """The named metrics over several domains: the unweighted mean and the value per domain.

    Args:
        names: registered metrics of classes or scores.
        predictions: predicted classes or scores, [rows].
        references: gold classes or scores, [rows].
        domains: index of each row's domain, [rows].
        domain_names: names of the domains.

    Returns:
        First the unweighted mean over the domains that have rows, e.g. `accuracy`; then the value of each domain,
        e.g. `accuracy_<domain>`. None for a metric that is undefined in a domain, and for its mean.

    Raises:
        As `compute`.
    """
    present = {domain_names[i]: np.flatnonzero(domains == i) for i in np.unique(domains)}
    scores = {name: compute(names, predictions[rows], references[rows]) for name, rows in present.items()}
    means = mean_over_domains(names, list(scores.values()))
    return means | {f"{name}_{domain}": of_domain[name] for name in names for domain, of_domain in scores.items()}


def mean_over_domains(
    names: Sequence[str], domain_scores: Sequence[Mapping[str, float | None]]
) -> dict[str, float | None]:
    """The unweighted mean of each named metric over domains; None for a metric that is undefined in a domain.

    Args:
        names: names of the metrics.
        domain_scores: scores of each domain, by metric.
    """
    means: dict[str, float | None] = {}
    for name in names:
        values = [value for scores in domain_scores if (value := scores[name]) is not None]
        means[name] = sum(values) / len(values) if len(values) == len(domain_scores) else None
    return means


def majority_baseline(
    task: TaskConfig, labels: np.ndarray, domains: np.ndarray | None = None
) -> dict[str, float | None]:
    """The scores of the best constant prediction.

    For classes this is the most frequent class of the scored rows (the lowest index of a tie). It does not need the
    training rows, which a data-free run does not have. For a regression task this is the mean score. Each correlation
    with it is set to 0.0: a correlation with a constant is undefined, but any prediction independent of the text has
    an expected correlation of 0, which a teacher must beat.

    Args:
        task: the task; gives the metrics.
        labels: class indices or scores of the scored rows, [rows].
        domains: index of each row's domain, [rows]; the same prediction for all domains is then also scored per
            domain.

    Returns:
        A value per metric; None only for the f1 of rows without class 1.

    Raises:
        DataError: no rows, or labels that are not finite or not class indices.
    """
    gold = np.asarray(labels)
    if gold.size == 0:
        raise DataError(f"{task.name}: no rows, so no majority baseline; check the split")
    _check_numbers("labels", gold, DataError, "fix the labels of this split")
    if task.is_regression:
        prediction: int | float = float(gold.astype(np.float64).mean())
    elif gold.dtype.kind not in "iu" or gold.min() < 0 or gold.max() >= task.num_outputs:
        classes = f"class indices 0 to {task.num_outputs - 1}"
        raise DataError(f"{task.name}: labels must be {classes}, got {np.unique(gold)[:5].tolist()}")
    else:
        prediction = int(np.bincount(gold).argmax())
    predictions = np.full(gold.shape, prediction)
    if domains is None:
        scores = compute(task.metrics, predictions, gold)
    else:
        scores = by_domain(task.metrics, predictions, gold, domains, task.domains)
    return {name: 0.0 if name.partition("_")[0] in CORRELATIONS else value for name, value in scores.items()}


def _checked(
    class_metrics: list[str], predictions: np.ndarray, references: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Finite vectors of one length: class indices if any metric compares classes, otherwise numbers."""
    pair = np.asarray(predictions), np.asarray(references)
    if pair[0].ndim != 1 or pair[0].shape != pair[1].shape:
        shapes = f"predictions {list(pair[0].shape)} and references {list(pair[1].shape)}"
        raise ValueError(f"{shapes} must be vectors of the same length, [rows]; flatten a column")
    if pair[0].size == 0:
        raise DataError("there are no rows to score: is the split empty?")
    _check_numbers("predictions", pair[0], TrainingError, "the model diverged; a lower learning rate may help")
    _check_numbers("references", pair[1], DataError, "fix the labels of this split")
    if class_metrics:
        return _as_classes(class_metrics[0], pair[0]), _as_classes(class_metrics[0], pair[1])
    return pair[0].astype(np.float64), pair[1].astype(np.float64)


def _check_numbers(name: str, values: np.ndarray, error: type[DataError] | type[TrainingError], remedy: str) -> None:
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be numbers, got an array of {values.dtype}")
    bad_rows = np.flatnonzero(~np.isfinite(values))
    if bad_rows.size:
        raise error(f"{bad_rows.size} of {values.size} {name} are not finite, the first in row {bad_rows[0]}: {remedy}")


def _as_classes(name: str, values: np.ndarray) -> np.ndarray:
    classes = values.astype(np.int64)
    if not np.array_equal(classes, values):
        fraction = values[classes != values][0]
        raise ValueError(f"{name} compares class indices, got {fraction}; take the argmax of logits first")
    return classes


def _is_constant(values: np.ndarray) -> bool:
    """Whether values are constant up to rounding, by SciPy's bound for Pearson's correlation."""
    if np.ptp(values) == 0:
        return True
    center = values.mean()
    return bool(np.linalg.norm(values - center) <= 1e-13 * abs(center))
