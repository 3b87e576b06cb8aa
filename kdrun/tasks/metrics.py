"""Metrics on scikit-learn and SciPy; undefined values are None.

Teacher, student and the chance level all come through `compute`. A score that has no value on the given rows
is None, never a stand-in. scikit-learn is imported on the first call, `evaluate` only by
`as_evaluate_metric`: both are slow to load.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from kdrun.errors import ConfigError, DataError, TrainingError, did_you_mean

if TYPE_CHECKING:
    from kdrun.config.task import TaskConfig

CORRELATIONS = ("pearson", "spearman")
"""Metrics of scores; the others compare classes."""


def _accuracy(predictions: np.ndarray, references: np.ndarray) -> float:
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(references, predictions))


def _f1(predictions: np.ndarray, references: np.ndarray) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(references, predictions, pos_label=1, average="binary"))


def _mcc(predictions: np.ndarray, references: np.ndarray) -> float:
    if np.ptp(predictions) == 0 or np.ptp(references) == 0:
        return 0.0  # the convention for 0/0 here; said before scikit-learn, which would warn about one class
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(references, predictions))


def _pearson(predictions: np.ndarray, references: np.ndarray) -> float:
    from scipy.stats import pearsonr

    result: Any = pearsonr(predictions, references)
    return float(result.statistic)


def _spearman(predictions: np.ndarray, references: np.ndarray) -> float:
    from scipy.stats import spearmanr

    result: Any = spearmanr(predictions, references)
    return float(result.statistic)


_METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": _accuracy,
    "f1": _f1,
    "mcc": _mcc,
    "pearson": _pearson,
    "spearman": _spearman,
}

KNOWN: tuple[str, ...] = tuple(_METRICS)
"""The names that `task.metrics` may hold."""


def compute(names: list[str], predictions: np.ndarray, references: np.ndarray) -> dict[str, float | None]:
    """The named metrics of predictions against references.

    `accuracy` is the share of equal classes; `f1` is that of class 1 (GLUE's for MRPC and QQP), in [0, 1];
    `mcc` is Matthews' correlation for any number of classes, 0 by convention where either side is constant;
    `pearson` and `spearman` are correlations of scores, in [-1, 1]. Fractions, not percent.

    Args:
        names: some of `KNOWN`.
        predictions: predicted classes (not logits) or scores, [rows].
        references: gold classes or scores, [rows].

    Returns:
        A value per name, in the order given; None where the metric has no value on these rows: a correlation
        of fewer than two rows or with a constant, f1 without a single class 1.

    Raises:
        ConfigError: an unknown name.
        DataError: no rows, or a reference that is not finite.
        TrainingError: a prediction that is not finite.
        ValueError: not two vectors of one length, or values that are no classes for a metric of classes.
    """
    pair = _checked(names, predictions, references)
    return {name: None if _is_undefined(name, *pair) else _METRICS[name](*pair) for name in names}


def by_domain(
    names: list[str], predictions: np.ndarray, references: np.ndarray, domains: np.ndarray, called: list[str]
) -> dict[str, float | None]:
    """The named metrics over several domains: the plain mean of each, and each domain's own.

    Args:
        names: some of `KNOWN`.
        predictions: predicted classes or scores, [rows].
        references: gold classes or scores, [rows].
        domains: index of each row's domain, [rows].
        called: names of the domains.

    Returns:
        First `accuracy` and the like, the mean over the domains that have rows, each weighing the same however many
        it has; then `accuracy_<domain>` of each of them. None where a metric has no value in a domain, and so for
        its mean.

    Raises:
        As `compute`.
    """
    present = {called[i]: np.flatnonzero(domains == i) for i in np.unique(domains)}
    parts = {name: compute(names, predictions[rows], references[rows]) for name, rows in present.items()}
    found: dict[str, float | None] = {}
    for name in names:
        values = [value for part in parts.values() if (value := part[name]) is not None]
        found[name] = sum(values) / len(values) if len(values) == len(parts) else None
    return found | {f"{name}_{domain}": part[name] for name in names for domain, part in parts.items()}


def majority_baseline(
    task: TaskConfig, labels: np.ndarray, domains: np.ndarray | None = None
) -> dict[str, float | None]:
    """The chance level: what the best constant guess scores, which never reads the text.

    For classes the guess is the most frequent class of the rows that are scored (the lowest index of a tie), so
    that it can be told without the training rows, which a data-free run has not. For scores it is their mean, and
    each correlation is 0.0: with a constant it has no value, but 0 is what any guess independent of the text has
    in expectation, and what a teacher must beat.

    Args:
        task: its `metrics` are computed.
        labels: class indices or scores of the rows that are scored, [rows].
        domains: index of each row's domain, [rows], where rows have one: the guess, one for all domains, is then
            scored by domain too.

    Returns:
        A value per metric; None only for the f1 of rows without class 1.

    Raises:
        DataError: no rows, or labels that are not finite or no class indices.
    """
    gold = np.asarray(labels)
    if gold.size == 0:
        raise DataError(f"{task.name}: no rows, so there is no most frequent class to guess")
    _check_numbers("labels", gold, DataError, "mend the labels of this split")
    if task.is_regression:
        guess: int | float = float(gold.astype(np.float64).mean())
    elif gold.dtype.kind not in "iu" or gold.min() < 0 or gold.max() >= task.num_outputs:
        wanted = f"class indices 0 to {task.num_outputs - 1}"
        raise DataError(f"{task.name}: labels must be {wanted}, got {np.unique(gold)[:5].tolist()}")
    else:
        guess = int(np.bincount(gold).argmax())
    guesses = np.full(gold.shape, guess)
    if domains is None:
        scores = compute(task.metrics, guesses, gold)
    else:
        scores = by_domain(task.metrics, guesses, gold, domains, task.domains)
    return {name: 0.0 if name.partition("_")[0] in CORRELATIONS else value for name, value in scores.items()}


def _checked(names: list[str], predictions: np.ndarray, references: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    unknown = [name for name in names if name not in KNOWN]
    if unknown:
        end = f" (known: {', '.join(KNOWN)})"
        raise ConfigError([f"unknown metric {name!r}{did_you_mean(name, list(KNOWN))}{end}" for name in unknown])
    pair = np.asarray(predictions), np.asarray(references)
    if pair[0].ndim != 1 or pair[0].shape != pair[1].shape:
        shapes = f"predictions {list(pair[0].shape)} and references {list(pair[1].shape)}"
        raise ValueError(f"{shapes} must be vectors of one length, [rows]; a column would be compared with every row")
    if pair[0].size == 0:
        raise DataError("there are no rows to score: is the split empty?")
    _check_numbers("predictions", pair[0], TrainingError, "the model diverged; a lower learning rate may help")
    _check_numbers("references", pair[1], DataError, "mend the labels of this split")
    classes = [name for name in names if name not in CORRELATIONS]
    if classes:
        return _as_classes(classes[0], pair[0]), _as_classes(classes[0], pair[1])
    return pair[0].astype(np.float64), pair[1].astype(np.float64)


def _check_numbers(what: str, values: np.ndarray, error: type[DataError] | type[TrainingError], remedy: str) -> None:
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{what} must be numbers, got an array of {values.dtype}")
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise error(f"{bad.size} of {values.size} {what} are not finite, the first in row {bad[0]}: {remedy}")


def _as_classes(name: str, values: np.ndarray) -> np.ndarray:
    whole = values.astype(np.int64)
    if not np.array_equal(whole, values):
        found = values[whole != values][0]
        raise ValueError(f"{name} compares class indices, got {found}; take the argmax of logits first")
    return whole


def _is_undefined(name: str, predictions: np.ndarray, references: np.ndarray) -> bool:
    """Whether a metric has no value on these rows: f1 without class 1, a correlation with a constant or one row."""
    if name == "f1":
        classes = np.union1d(predictions, references)
        if not set(classes.tolist()) <= {0, 1}:
            raise ValueError(f"f1 is of class 1 against class 0, got classes {classes.tolist()}")
        return 1 not in classes
    if name in CORRELATIONS:
        exactly = name == "spearman"
        return len(references) < 2 or _constant(predictions, exactly) or _constant(references, exactly)
    return False


def _constant(values: np.ndarray, exactly: bool) -> bool:
    """Whether values vary by no more than rounding (SciPy's bound for pearson); ranks need any difference."""
    if exactly or np.ptp(values) == 0:
        return bool(np.ptp(values) == 0)
    center = values.mean()
    return bool(np.linalg.norm(values - center) <= 1e-13 * abs(center))
