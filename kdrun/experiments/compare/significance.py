"""Paired confidence intervals over seeds and examples, and their verdicts.

Model: the difference with seed s on this dev split is d_s = δ + e + u_s. The error e comes from the sample of examples
in the split, the same for all seeds; u_s comes from the seed. The mean over n seeds has variance σ_e² + σ_u²/n.

- σ_e² is the variance of that mean over bootstrap resamples of the examples. Both arms and all seeds share the
  resamples, so errors that both arms make cancel (the pairing).
- σ_u² is the sample variance of d_s, which is the bootstrap over seeds in closed form. Three seeds have only ten
  different resamples, and a percentile interval over them is far too short.

The interval is mean ± t · SE with the Welch-Satterthwaite degrees of freedom. Noise of the interaction of seed and
example enters both variances, so the interval is conservative. Each pair has a 95 % interval, without a correction
for several pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from kdrun.data import entities

RESAMPLES = 2000
CONFIDENCE = 0.95
POWER = 0.8
"""Probability of a verdict that `seeds_needed` plans for."""
MIN_SEEDS = 3
"""With fewer seeds the verdict is INCONCLUSIVE."""
MAX_SEEDS = 1000
"""Largest number of seeds that `seeds_needed` considers."""
HOW = (
    "paired over seeds and examples: t interval, standard error from a bootstrap over examples "
    f"({RESAMPLES} resamples) and the spread over seeds, Welch-Satterthwaite degrees of freedom"
)
HOW_BY_DOMAIN = f"of the mean over domains, {HOW}; examples are drawn within each domain"

Outcome = Literal["BEATS", "TIES", "LOSES", "INCONCLUSIVE"]
Array = np.ndarray


@dataclass(frozen=True)
class Verdict:
    """The verdict on the difference a - b.

    Attributes:
        difference: mean over seeds, in units of the metric.
        interval: 95 % confidence interval of the difference; None with fewer than two seeds.
        outcome: BEATS (interval above zero), LOSES (below), TIES (inside ± margin), else INCONCLUSIVE.
        num_seeds: number of seeds.
        seeds_needed: estimated number of seeds for a verdict on this difference with 80 % power; None if there is a
            verdict, if no estimate is possible, or if no number of seeds is enough.
        reason: why the outcome is INCONCLUSIVE; else empty.
    """

    difference: float
    interval: tuple[float, float] | None
    outcome: Outcome
    num_seeds: int
    seeds_needed: int | None = None
    reason: str = ""


def decide(differences: Array, resampled: Array, margin: float) -> Verdict:
    """The verdict on a difference.

    Args:
        differences: a - b per seed on the whole split, [seeds].
        resampled: the same on bootstrap resamples of the examples, [resamples, seeds].
        margin: differences within ± margin count as a tie.
    """
    count, mean = len(differences), float(np.mean(differences))
    if not np.isfinite(differences).all():
        return Verdict(mean, None, "INCONCLUSIVE", count, None, "a score is undefined")
    if count < 2:
        return Verdict(mean, None, "INCONCLUSIVE", count, None, "one seed shows no spread")
    from_examples = float(np.nanvar(np.nanmean(resampled, axis=1), ddof=1))
    from_seeds = float(np.var(differences, ddof=1))
    low, high = interval(mean, from_examples, from_seeds, count)
    if count >= MIN_SEEDS and -margin < low and high < margin:
        return Verdict(mean, (low, high), "TIES", count)
    if count >= MIN_SEEDS and (low > 0 or high < 0):
        return Verdict(mean, (low, high), "BEATS" if low > 0 else "LOSES", count)
    needed = seeds_needed(mean, from_examples, from_seeds)
    if needed is None:
        reason = "no number of seeds would do: this dev split has too few examples for a difference this small"
    elif needed > count:
        reason = f"the seen difference would need about {needed} seeds"
    else:
        reason = f"fewer than {MIN_SEEDS} seeds" if count < MIN_SEEDS else "near the limit: a few more seeds"
    return Verdict(mean, (low, high), "INCONCLUSIVE", count, needed, reason)


def interval(mean: float, from_examples: float, from_seeds: float, seeds: int) -> tuple[float, float]:
    """The 95 % confidence interval of a mean difference.

    Args:
        mean: mean over seeds.
        from_examples: σ_e², variance of that mean over resamples of the examples.
        from_seeds: σ_u², variance of the difference over seeds.
        seeds: number of seeds.
    """
    error, freedom = _standard_error(from_examples, from_seeds, seeds)
    half_width = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    return mean - half_width, mean + half_width


def _standard_error(from_examples: float, from_seeds: float, seeds: int) -> tuple[float, float]:
    """Standard error of the mean difference, and its degrees of freedom."""
    a, b = from_examples, from_seeds / seeds
    spread = a**2 / (RESAMPLES - 1) + b**2 / (seeds - 1)
    return float(np.sqrt(a + b)), (a + b) ** 2 / spread if spread else float(RESAMPLES)


def power(difference: float, from_examples: float, from_seeds: float, seeds: int) -> float:
    """Probability that the interval of a true difference is on the right side of zero (noncentral t)."""
    error, freedom = _standard_error(from_examples, from_seeds, seeds)
    if not error:
        return float(difference != 0)
    limit = stats.t.ppf((1 + CONFIDENCE) / 2, freedom)
    return float(stats.nct.sf(limit, freedom, abs(difference) / error))


def seeds_needed(difference: float, from_examples: float, from_seeds: float) -> int | None:
    """The smallest number of seeds, at least 3, that gives such a difference a verdict with 80 % power.

    Returns:
        None if `MAX_SEEDS` are not enough.
    """
    if power(difference, from_examples, from_seeds, MAX_SEEDS) < POWER:
        return None
    low, high = MIN_SEEDS, MAX_SEEDS
    while low < high:
        middle = (low + high) // 2
        if power(difference, from_examples, from_seeds, middle) >= POWER:
            high = middle
        else:
            low = middle + 1
    return low


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
        metric: one of `SUFFICIENT_STATISTICS`.
        gold: class indices, scores or texts, [rows].
        predictions: same type as `gold`, [columns, rows].
        seed: seed of the resampling.
        resamples: number of resamples.
        domains: name or index of each row's domain, [rows]; None if all rows are one group.

    Returns:
        [resamples, columns]; NaN where the metric is undefined.
    """
    features, finish = SUFFICIENT_STATISTICS[metric]
    groups = [np.arange(len(gold))] if domains is None else [np.flatnonzero(domains == d) for d in np.unique(domains)]
    stream = np.random.default_rng(seed)
    parts = [_resample_domain(features, finish, gold[rows], predictions[:, rows], stream, resamples) for rows in groups]
    return np.mean(parts, axis=0)


def _resample_domain(
    features: Callable[[Array, Array], Array],
    finish: Callable[[Array], Array],
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


def _correlation(sums: Array) -> Array:
    n, x, y, xx, yy, xy = sums.T
    return _divide(xy - x * y / n, np.sqrt(np.maximum((xx - x * x / n) * (yy - y * y / n), 0)))


SUFFICIENT_STATISTICS: dict[str, tuple[Callable[[Array, Array], Array], Callable[[Array], Array]]] = {
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
