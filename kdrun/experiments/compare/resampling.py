"""Metrics on bootstrap resamples of the examples."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from scipy import stats

from kdrun import registry
from kdrun.data import entities
from kdrun.experiments.compare.significance import RESAMPLES, Array

Features = Callable[[Array, Array], Array]
"""Gold values and predictions to the statistics of each row, [rows, k]."""
Finish = Callable[[Array], Array]
"""Sums of the statistics, [columns, k], to the metric, [columns]."""


def resample(
    metric: str,
    gold: Array,
    predictions: Array,
    seed: int = 0,
    resamples: int = RESAMPLES,
    domains: Array | None = None,
) -> Array:
    """A metric on bootstrap resamples of the examples, the same resamples for all columns of predictions.

    With domains, the statistic is the reported score, the unweighted mean of the metric over domains. Examples are
    then drawn within each domain, since the number of rows per domain is part of a test set's design.

    Args:
        metric: a registered one; one without an entry in `SUFFICIENT_STATISTICS` is computed on each resample.
        gold: class indices, scores or texts, [rows].
        predictions: same type as `gold`, [columns, rows].
        seed: seed of the resampling.
        resamples: number of resamples.
        domains: name or index of each row's domain, [rows]; None if all rows are one group.

    Returns:
        [resamples, columns]; NaN where the metric is undefined.
    """
    groups = [np.arange(len(gold))] if domains is None else [np.flatnonzero(domains == d) for d in np.unique(domains)]
    stream = np.random.default_rng(seed)
    parts = [_resample_domain(metric, gold[rows], predictions[:, rows], stream, resamples) for rows in groups]
    return np.mean(parts, axis=0)


def _statistics(metric: str, gold: Array, predictions: Array) -> tuple[Features, Finish] | None:
    """The statistics of a metric on these rows; None if the metric has none."""
    if metric == "macro_f1" or (metric == "mcc" and np.concatenate([gold, *predictions]).max() > 1):
        classes = np.unique(np.concatenate([gold, *predictions]))
        return partial(_class_counts, classes), _macro_f1 if metric == "macro_f1" else _mcc_of_classes
    return SUFFICIENT_STATISTICS.get(metric)


def _resample_domain(
    metric: str, gold: Array, predictions: Array, stream: np.random.Generator, resamples: int
) -> Array:
    """The metric on resamples of the rows of one domain, [resamples, columns]."""
    statistics = _statistics(metric, gold, predictions)
    if statistics is not None:
        return _from_sums(*statistics, gold, predictions, stream, resamples)
    compute, values = registry.get("metric", metric).target, np.empty((resamples, len(predictions)))
    for i in range(resamples):
        rows = stream.integers(len(gold), size=len(gold))
        values[i] = [compute(column[rows], gold[rows]) for column in predictions]  # None becomes NaN
    return values


def _from_sums(
    features: Features,
    finish: Finish,
    gold: Array,
    predictions: Array,
    stream: np.random.Generator,
    resamples: int,
) -> Array:
    """The metric on resamples of the rows of one domain, from its sufficient statistics, [resamples, columns]."""
    table = np.stack([features(gold, column) for column in predictions])  # [columns, rows, features]
    columns, rows, width = table.shape
    flat = np.ascontiguousarray(table.transpose(1, 0, 2).reshape(rows, columns * width))
    values = np.empty((resamples, columns))
    for i in range(resamples):
        weights = np.bincount(stream.integers(rows, size=rows), minlength=rows).astype(np.float64)
        values[i] = finish((weights @ flat).reshape(columns, width))
    return values


def _hits(gold: Array, predicted: Array) -> Array:
    return np.stack([gold == predicted, np.ones(len(gold))], axis=-1).astype(np.float64)


def _confusion(gold: Array, predicted: Array) -> Array:
    """True positives, false positives, false negatives, true negatives of class 1."""
    is_positive, is_predicted = gold == 1, predicted == 1
    cells = [
        is_positive & is_predicted,
        ~is_positive & is_predicted,
        is_positive & ~is_predicted,
        ~is_positive & ~is_predicted,
    ]
    return np.stack(cells, axis=-1).astype(np.float64)


def _class_counts(classes: Array, gold: Array, predicted: Array) -> Array:
    """Whether a row is correct, gold and predicted for each class, [rows, 3 · classes]."""
    is_gold, is_predicted = gold[:, None] == classes, predicted[:, None] == classes
    return np.concatenate([is_gold & is_predicted, is_gold, is_predicted], axis=-1).astype(np.float64)


def _moments(gold: Array, predicted: Array) -> Array:
    # centered first: sums of squares of numbers far from zero would lose digits
    x, y = np.asarray(gold, np.float64) - np.mean(gold), np.asarray(predicted, np.float64) - np.mean(predicted)
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=-1)


def _ranked(gold: Array, predicted: Array) -> Array:
    """Moments of the ranks in the whole split; ranks computed within a resample differ from them only by rounding."""
    return _moments(stats.rankdata(gold), stats.rankdata(predicted))


def _entity_counts(gold: Array, predicted: Array) -> Array:
    """Numbers of correct, predicted and gold entities per row, [rows, 3]."""
    return np.array(
        [entities.count_matches(*pair) for pair in zip(gold.tolist(), predicted.tolist(), strict=True)], np.float64
    )


def _divide(top: Array, bottom: Array) -> Array:
    return np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom > 0)


def _f1(sums: Array) -> Array:
    tp, fp, fn, _ = sums.T
    return _divide(2 * tp, 2 * tp + fp + fn)


def _mcc(sums: Array) -> Array:
    tp, fp, fn, tn = sums.T
    bottom = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return np.nan_to_num(_divide(tp * tn - fp * fn, bottom))  # zero for constant predictions, as in scikit-learn


def _macro_f1(sums: Array) -> Array:
    correct, gold, predicted = np.split(sums, 3, axis=-1)
    return np.nanmean(_divide(2 * correct, gold + predicted), axis=-1)  # over the classes of the resample


def _mcc_of_classes(sums: Array) -> Array:
    """Gorodkin's R_K of any number of classes."""
    correct, gold, predicted = np.split(sums, 3, axis=-1)
    rows, hits = gold.sum(axis=-1), correct.sum(axis=-1)
    bottom = np.sqrt((rows**2 - (predicted**2).sum(axis=-1)) * (rows**2 - (gold**2).sum(axis=-1)))
    return np.nan_to_num(_divide(hits * rows - (gold * predicted).sum(axis=-1), bottom))


def _correlation(sums: Array) -> Array:
    n, x, y, xx, yy, xy = sums.T
    return _divide(xy - x * y / n, np.sqrt(np.maximum((xx - x * x / n) * (yy - y * y / n), 0)))


SUFFICIENT_STATISTICS: dict[str, tuple[Features, Finish]] = {
    "accuracy": (_hits, lambda sums: sums[:, 0] / sums[:, 1]),
    "f1": (_confusion, _f1),
    "mcc": (_confusion, _mcc),
    "pearson": (_moments, _correlation),
    "spearman": (_ranked, _correlation),
    "entity_f1": (_entity_counts, lambda sums: _divide(2 * sums[:, 0], sums[:, 1] + sums[:, 2])),
    "entity_precision": (_entity_counts, lambda sums: _divide(sums[:, 0], sums[:, 1])),
    "entity_recall": (_entity_counts, lambda sums: _divide(sums[:, 0], sums[:, 2])),
}
"""Metric → (statistics per example, [rows, k]; function from their sums, [columns, k], to the metric).

A resample changes only the sums.
"""
