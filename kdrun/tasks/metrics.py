"""Scores of predictions on the registered metrics; undefined values are None.

Teacher, student and majority baseline are all scored by `compute`. `kdrun.tasks.registered_metrics` has the metrics.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from kdrun import registry
from kdrun.errors import ConfigError, DataError, TrainingError
from kdrun.tasks.registered_metrics import CORRELATIONS

if TYPE_CHECKING:
    from kdrun.config.task import TaskConfig


def vector_metrics() -> list[str]:
    """Registered metrics of predicted classes or scores: all but those of entities, label sets and probabilities."""
    vectors = {"classes", "two classes", "scores"}
    metrics = registry.entries("metric").items()
    return [name for name, entry in metrics if vectors & {*entry.answers} and not entry.needs_probabilities]


def undefined_reason(name: str) -> str:
    """When a metric is undefined, as a sentence without a full stop."""
    return registry.get("metric", name).undefined or "the metric has no value on these rows"


def compute(
    names: Sequence[str], predictions: np.ndarray, references: np.ndarray, probabilities: np.ndarray | None = None
) -> dict[str, float | None]:
    """The named metrics of predictions against references.

    Fractions and correlations, not percent.

    Args:
        names: registered metrics of classes, label sets or scores.
        predictions: predicted classes (not logits) or scores, [rows], or label sets, 0 or 1, [rows, classes].
        references: gold classes, scores or label sets of the same shape.
        probabilities: predicted probabilities, [rows, classes], for metrics that need them.

    Returns:
        A value per name, in the order of `names`; None for a metric that is undefined on these rows.

    Raises:
        ConfigError: an unknown name.
        DataError: no rows, or a reference that is not finite.
        TrainingError: a prediction or probability that is not finite.
        ValueError: other shapes, values other than class indices for a metric of classes, or no probabilities for a
            metric that needs them.
    """
    components, problems = {}, []
    for name in names:
        try:
            components[name] = registry.get("metric", name)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    predicted, gold = _checked(components, predictions, references)
    if needing := [name for name, entry in components.items() if entry.needs_probabilities]:
        probabilities = _checked_probabilities(needing[0], probabilities, gold)
    return {
        name: _defined(entry.target(probabilities if entry.needs_probabilities else predicted, gold))
        for name, entry in components.items()
    }


def _defined(value: float | None) -> float | None:
    """The value of a metric; None for one that is not finite, which no file could hold."""
    return None if value is None or not math.isfinite(value) else float(value)


def by_domain(
    names: Sequence[str],
    predictions: np.ndarray,
    references: np.ndarray,
    domains: np.ndarray,
    domain_names: list[str],
    probabilities: np.ndarray | None = None,
) -> dict[str, float | None]:
    """The named metrics over several domains: the unweighted mean and the value per domain.

    Args:
        names: registered metrics of classes or scores.
        predictions: predicted classes or scores, [rows].
        references: gold classes or scores, [rows].
        domains: index of each row's domain, [rows].
        domain_names: names of the domains.
        probabilities: as for `compute`.

    Returns:
        First the unweighted mean over the domains that have rows, e.g. `accuracy`; then the value of each domain,
        e.g. `accuracy_<domain>`. None for a metric that is undefined in a domain, and for its mean.

    Raises:
        As `compute`.
    """
    present = {domain_names[i]: np.flatnonzero(domains == i) for i in np.unique(domains)}
    scores = {
        name: compute(
            names, predictions[rows], references[rows], None if probabilities is None else probabilities[rows]
        )
        for name, rows in present.items()
    }
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

    For classes this is the most frequent class of the scored rows (the lowest index of a tie), and as probabilities the
    share of each class. It does not need the training rows, which a data-free run does not have. For a regression task
    this is the mean score. Each correlation with it is set to 0.0: a correlation with a constant is undefined, but any
    prediction independent of the text has an expected correlation of 0, which a teacher must beat.

    Args:
        task: the task; gives the metrics.
        labels: class indices or scores of the scored rows, [rows].
        domains: index of each row's domain, [rows]; the same prediction for all domains is then also scored per
            domain.

    Returns:
        A value per metric; None for the f1 of rows without class 1, and for a metric that ranks rows where a class has
        none.

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
    predictions, probabilities = np.full(gold.shape, prediction), None
    if not task.is_regression:
        shares = np.bincount(gold, minlength=task.num_outputs) / gold.size
        probabilities = np.tile(shares, (gold.size, 1))
    if domains is None:
        scores = compute(task.metrics, predictions, gold, probabilities)
    else:
        scores = by_domain(task.metrics, predictions, gold, domains, task.domains, probabilities)
    return {name: 0.0 if name.partition("_")[0] in CORRELATIONS else value for name, value in scores.items()}


def label_set_baseline(names: Sequence[str], labels: np.ndarray) -> dict[str, float | None]:
    """The scores of the best constant label set, chosen for each metric.

    Constants that are tried [ours]: the most frequent label set; the k most frequent classes with the best micro F1,
    2 · Σ_k s / (k + Σ s) for shares s of the rows; all classes, which is the best one for macro F1. As probabilities,
    the share of each class.

    Args:
        names: registered metrics of label sets.
        labels: 1 for each class of the row, else 0, [rows, classes].
    """
    if not len(labels):
        raise DataError("no rows, so no majority baseline; check the split")
    gold, shares = labels.astype(np.int64), labels.mean(axis=0, dtype=np.float64)
    sets, counts = np.unique(gold, axis=0, return_counts=True)
    order = np.argsort(-shares, kind="stable")
    best = int(np.argmax(np.cumsum(shares[order]) / (np.arange(1, len(order) + 1) + shares.sum()))) + 1
    candidates = [sets[counts.argmax()], np.isin(np.arange(len(order)), order[:best]), np.ones(len(order))]
    probabilities = np.tile(shares, (len(gold), 1))
    scores = [
        compute(names, np.tile(candidate.astype(np.int64), (len(gold), 1)), gold, probabilities)
        for candidate in candidates
    ]
    return {
        name: max((value for of_set in scores if (value := of_set[name]) is not None), default=None) for name in names
    }


def _checked(
    components: Mapping[str, registry.Entry], predictions: np.ndarray, references: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Finite arrays of one shape: label sets, class indices if any metric compares classes, or numbers."""
    pair = np.asarray(predictions), np.asarray(references)
    are_sets = pair[0].ndim == 2 and pair[0].shape[1] > 1
    if pair[0].shape != pair[1].shape or not (are_sets or pair[0].ndim == 1):
        shapes = f"predictions {list(pair[0].shape)} and references {list(pair[1].shape)}"
        raise ValueError(
            f"{shapes} must be vectors of the same length, [rows], or label sets, [rows, classes]; flatten a column"
        )
    if unfit := [name for name, entry in components.items() if not _fits(entry, are_sets=are_sets)]:
        answers = " and ".join(components[unfit[0]].answers)
        raise ValueError(f"{unfit[0]} scores {answers}, got predictions of shape {list(pair[0].shape)}")
    if pair[0].size == 0:
        raise DataError("there are no rows to score: is the split empty?")
    _check_numbers("predictions", pair[0], TrainingError, "the model diverged; a lower learning rate may help")
    _check_numbers("references", pair[1], DataError, "fix the labels of this split")
    if are_sets:
        return _as_label_sets("predictions", pair[0]), _as_label_sets("references", pair[1])
    class_metrics = [name for name, entry in components.items() if "scores" not in entry.answers]
    if class_metrics:
        return _as_classes(class_metrics[0], pair[0]), _as_classes(class_metrics[0], pair[1])
    return pair[0].astype(np.float64), pair[1].astype(np.float64)


def _fits(entry: registry.Entry, *, are_sets: bool) -> bool:
    """Whether a metric scores label sets, or other numbers."""
    return "label sets" in entry.answers if are_sets else bool({*entry.answers} - {"label sets", "texts"})


def _checked_probabilities(name: str, probabilities: np.ndarray | None, gold: np.ndarray) -> np.ndarray:
    """Finite probabilities of every row, [rows, classes], float64."""
    if probabilities is None:
        raise ValueError(f"{name} needs the probabilities of the classes, [rows, classes], and only has predictions")
    values = np.asarray(probabilities)
    if values.ndim != 2 or len(values) != len(gold) or (gold.ndim == 2 and values.shape != gold.shape):
        raise ValueError(
            f"{name}: probabilities {list(values.shape)} do not fit references {list(gold.shape)}; they are "
            "[rows, classes]"
        )
    _check_numbers("probabilities", values, TrainingError, "the model diverged; a lower learning rate may help")
    return values.astype(np.float64)


def _check_numbers(name: str, values: np.ndarray, error: type[DataError] | type[TrainingError], remedy: str) -> None:
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be numbers, got an array of {values.dtype}")
    bad_rows = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
    if bad_rows.size:
        raise error(f"{bad_rows.size} of {len(values)} {name} are not finite, the first in row {bad_rows[0]}: {remedy}")


def _as_classes(name: str, values: np.ndarray) -> np.ndarray:
    classes = values.astype(np.int64)
    if not np.array_equal(classes, values):
        fraction = values[classes != values][0]
        raise ValueError(f"{name} compares class indices, got {fraction}; take the argmax of logits first")
    return classes


def _as_label_sets(name: str, values: np.ndarray) -> np.ndarray:
    if not np.isin(values, (0, 1)).all():
        raise ValueError(f"{name}: label sets have values 0 and 1, got {np.setdiff1d(values, (0, 1))[:5].tolist()}")
    return values.astype(np.int64)
