"""Metrics on bootstrap resamples of the examples."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from scipy import stats

from kdrun import registry
from kdrun.data import entities, text_overlap
from kdrun.experiments.compare import rankings
from kdrun.experiments.compare.significance import RESAMPLES, Array

Features = Callable[[Array, Array], Array]
"""Gold values and predictions to the statistics of each row, [rows, k]."""
Finish = Callable[[Array], Array]
"""Sums of the statistics, [columns, k], to the metric, [columns]."""
Weighted = Callable[[Array], Array]
"""How often each row is drawn, [rows], to the metric, [columns]."""


def resample(
    metric: str,
    gold: Array,
    predictions: Array,
    seed: int = 0,
    resamples: int = RESAMPLES,
    domains: Array | None = None,
    clusters: Array | None = None,
) -> Array:
    """A metric on bootstrap resamples of the examples, the same resamples for all columns of predictions.

    With domains, the statistic is the reported score, the unweighted mean of the metric over domains. Examples are
    then drawn within each domain, since the number of rows per domain is part of a test set's design.

    Args:
        metric: a registered one, or `agreement`, for which `gold` is 1 and a prediction is 1 where it agrees, or
            `teacher_kl`, for which a prediction is the row's divergence; one without an entry in the tables of this
            module is computed on each resample.
        gold: class indices, scores or texts, [rows], or label sets, [rows, classes].
        predictions: same type as `gold`, [columns, rows, …]; probabilities, [columns, rows, classes], for a metric that
            needs them.
        seed: seed of the resampling.
        resamples: number of resamples.
        domains: name or index of each row's domain, [rows]; None if all rows are one group.
        clusters: number of each row's cluster, [rows], e.g. its sentence: whole clusters are drawn, since their rows
            depend on each other. None draws rows.

    Returns:
        [resamples, columns]; NaN where the metric is undefined.
    """
    groups = [np.arange(len(gold))] if domains is None else [np.flatnonzero(domains == d) for d in np.unique(domains)]
    stream = np.random.default_rng(seed)
    parts = [
        _resample_domain(
            metric, gold[rows], predictions[:, rows], stream, resamples, None if clusters is None else clusters[rows]
        )
        for rows in groups
    ]
    return np.mean(parts, axis=0)


def _weighted(metric: str, gold: Array, predictions: Array) -> Weighted | None:
    """A metric as a function of how often each row is drawn; None for a metric that has no such form here."""
    if metric in RANKINGS:
        return partial(
            rankings.ranked_classes, RANKINGS[metric], [rankings.rank(gold, column) for column in predictions]
        )
    if metric == "mcc" and max(gold.max(), predictions.max()) <= 1:
        return _from_sums(_confusion, _mcc, gold, predictions)
    if metric in CLASS_COUNTS:
        if gold.ndim == 2:
            return _from_sums(_set_counts, CLASS_COUNTS[metric], gold, predictions)
        return partial(_from_class_counts, CLASS_COUNTS[metric], gold, predictions)
    if metric in SUFFICIENT_STATISTICS:
        return _from_sums(*SUFFICIENT_STATISTICS[metric], gold, predictions)
    return None


def _resample_domain(
    metric: str,
    gold: Array,
    predictions: Array,
    stream: np.random.Generator,
    resamples: int,
    clusters: Array | None,
) -> Array:
    """The metric on resamples of the rows of one domain, [resamples, columns]."""
    weighted = _weighted(metric, gold, predictions)
    numbers = np.arange(len(gold)) if clusters is None else np.unique(clusters, return_inverse=True)[1].reshape(-1)
    count = int(numbers.max()) + 1
    values = np.empty((resamples, len(predictions)))
    for i in range(resamples):
        drawn = stream.integers(count, size=count)
        draws = np.bincount(drawn, minlength=count)[numbers]
        if weighted is not None:
            values[i] = weighted(draws.astype(np.float64))
        else:
            rows = drawn if clusters is None else np.repeat(np.arange(len(gold)), draws)
            compute = registry.get("metric", metric).target
            values[i] = [compute(column[rows], gold[rows]) for column in predictions]  # None becomes NaN
    return values


def _from_sums(features: Features, finish: Finish, gold: Array, predictions: Array) -> Weighted:
    """The metric from its sufficient statistics, whose sums are all that a resample changes."""
    table = np.stack([features(gold, column) for column in predictions])  # [columns, rows, features]
    columns, rows, width = table.shape
    flat = np.ascontiguousarray(table.transpose(1, 0, 2).reshape(rows, columns * width))
    return lambda weights: finish((weights @ flat).reshape(columns, width))


def _from_class_counts(finish: Finish, gold: Array, predictions: Array, weights: Array) -> Array:
    """The metric from the number of correct, gold and predicted rows of each class, which cost little per class."""
    size = int(max(gold.max(), predictions.max())) + 1
    sums = [
        np.concatenate(
            [
                np.bincount(gold, weights * (gold == column), size),
                np.bincount(gold, weights, size),
                np.bincount(column, weights, size),
            ]
        )
        for column in predictions
    ]
    return finish(np.stack(sums))


def _hits(gold: Array, predicted: Array) -> Array:
    return np.stack([gold == predicted, np.ones(len(gold))], axis=-1).astype(np.float64)


def _given(gold: Array, values: Array) -> Array:
    return np.stack([values, np.ones(len(gold))], axis=-1).astype(np.float64)


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


def _set_counts(gold: Array, predicted: Array) -> Array:
    """Whether a class of a label set is correct, gold and predicted, [rows, 3 · classes]."""
    return np.concatenate([gold & predicted, gold, predicted], axis=-1).astype(np.float64)


def _equal_sets(gold: Array, predicted: Array) -> Array:
    """Whether label sets or free texts are equal, [rows, 2]."""
    if gold.ndim == 1:
        return _given(gold, _per_text(text_overlap.is_equal, gold, predicted))
    return _hits(np.zeros(len(gold)), (gold != predicted).any(axis=-1))


def _moments(gold: Array, predicted: Array) -> Array:
    # centered first: sums of squares of numbers far from zero would lose digits
    x, y = np.asarray(gold, np.float64) - np.mean(gold), np.asarray(predicted, np.float64) - np.mean(predicted)
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=-1)


def _ranked(gold: Array, predicted: Array) -> Array:
    """Moments of the ranks in the whole split, close to those within a resample of a thousand rows or more."""
    return _moments(stats.rankdata(gold), stats.rankdata(predicted))


def _entity_counts(gold: Array, predicted: Array) -> Array:
    """Numbers of correct, predicted and gold entities per row, [rows, 3]."""
    return np.array(
        [entities.count_matches(*pair) for pair in zip(gold.tolist(), predicted.tolist(), strict=True)], np.float64
    )


def _rouge(gold: Array, predicted: Array) -> Array:
    return _given(gold, _per_text(text_overlap.rouge_l, gold, predicted))


def _per_text(measure: Callable[[str, str], float], gold: Array, predicted: Array) -> Array:
    """A measure of each pair of texts, [rows]."""
    return np.array([measure(*pair) for pair in zip(predicted.tolist(), gold.tolist(), strict=True)], np.float64)


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
    values = _divide(2 * correct, gold + predicted)
    return _divide(np.nansum(values, axis=-1), (~np.isnan(values)).sum(axis=-1))  # over the classes of the resample


def _micro_f1(sums: Array) -> Array:
    correct, gold, predicted = (part.sum(axis=-1) for part in np.split(sums, 3, axis=-1))
    return _divide(2 * correct, gold + predicted)


def _weighted_f1(sums: Array) -> Array:
    correct, gold, predicted = np.split(sums, 3, axis=-1)
    return _divide((gold * np.nan_to_num(_divide(2 * correct, gold + predicted))).sum(axis=-1), gold.sum(axis=-1))


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
    "agreement": (_hits, lambda sums: sums[:, 0] / sums[:, 1]),
    "teacher_kl": (_given, lambda sums: sums[:, 0] / sums[:, 1]),
    "exact_match": (_equal_sets, lambda sums: sums[:, 0] / sums[:, 1]),
    "f1": (_confusion, _f1),
    "pearson": (_moments, _correlation),
    "spearman": (_ranked, _correlation),
    "rouge_l": (_rouge, lambda sums: sums[:, 0] / sums[:, 1]),
    "entity_f1": (_entity_counts, lambda sums: _divide(2 * sums[:, 0], sums[:, 1] + sums[:, 2])),
    "entity_precision": (_entity_counts, lambda sums: _divide(sums[:, 0], sums[:, 1])),
    "entity_recall": (_entity_counts, lambda sums: _divide(sums[:, 0], sums[:, 2])),
}
"""Metric → (statistics per example, [rows, k]; function from their sums, [columns, k], to the metric).

A resample changes only the sums.
"""

CLASS_COUNTS: dict[str, Finish] = {
    "macro_f1": _macro_f1,
    "micro_f1": _micro_f1,
    "weighted_f1": _weighted_f1,
    "mcc": _mcc_of_classes,
}
"""Metric → function from the numbers of correct, gold and predicted rows of each class, [columns, 3 · classes]."""
RANKINGS: dict[str, Callable[[Array, Array], float]] = {
    "roc_auc": rankings.roc_auc,
    "average_precision": rankings.average_precision,
}
"""Metric → function from the positive and all rows of each tie, by falling probability, [ties] each."""
