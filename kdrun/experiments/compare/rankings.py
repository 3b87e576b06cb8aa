"""Rankings of rows by probability, for metrics of rankings on resamples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kdrun.experiments.compare.significance import Array
from kdrun.tasks.registered_metrics import one_against_rest


@dataclass(frozen=True)
class Ranking:
    """The rows of one class by falling probability: their order, whether they are of the class, starts of ties."""

    order: Array
    is_positive: Array
    starts: Array


def rank(gold: Array, probabilities: Array) -> list[Ranking]:
    """Ranking of the rows for each class, one against the rest; of class 1 alone of two."""
    positives, scores = one_against_rest(probabilities, gold)
    rankings = []
    for is_positive, column in zip(positives.reshape(len(gold), -1).T, scores.reshape(len(gold), -1).T, strict=True):
        order = np.argsort(-column, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(column[order]) != 0])
        rankings.append(Ranking(order, is_positive[order].astype(np.float64), starts))
    return rankings


def ranked_classes(finish: Callable[[Array, Array], float], columns: list[list[Ranking]], weights: Array) -> Array:
    """Mean over the classes of the resample that have a value, per column."""
    means = []
    for rankings in columns:
        values = []
        for ranking in rankings:
            drawn = weights[ranking.order]
            totals = np.add.reduceat(drawn, ranking.starts)
            values.append(finish(np.add.reduceat(drawn * ranking.is_positive, ranking.starts), totals))
        defined = [value for value in values if not np.isnan(value)]
        means.append(float(np.mean(defined)) if defined else np.nan)
    return np.array(means)


def roc_auc(positives: Array, totals: Array) -> float:
    """Share of pairs in which the positive row comes first; half for a tie. Counts per tie, by falling probability."""
    negatives = totals - positives
    pairs = positives.sum() * negatives.sum()
    before = np.cumsum(positives) - positives
    return float((negatives * (before + positives / 2)).sum() / pairs) if pairs else np.nan


def average_precision(positives: Array, totals: Array) -> float:
    """Σ gain in recall · precision over ties, by falling probability."""
    count = positives.sum()
    precision = np.cumsum(positives) / np.maximum(np.cumsum(totals), 1)
    return float((positives * precision).sum() / count) if count else np.nan
