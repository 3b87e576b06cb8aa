"""Paired confidence intervals over seeds and examples, and the verdict they allow.

Model: the difference seen with seed s on this dev split is d_s = δ + e + u_s, where e comes from which
examples the split happens to hold (the same for all seeds) and u_s from the seed. The mean over n seeds has
variance σ_e² + σ_u²/n. σ_e² is the variance of that mean over bootstrap resamples of the examples, taken
alike for both arms and all seeds (so that what both get right or wrong cancels: the pairing); σ_u² is the
sample variance of d_s, which is the bootstrap over seeds in closed form (three seeds have only ten
resamples, and a percentile interval over them is far too short). The interval is mean ± t · SE with the
Welch-Satterthwaite degrees of freedom. Noise of seed and example together enters both parts, so the interval
errs on the wide side. Several pairs are each judged at their own 95 %.
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
"""Chance of a verdict that `seeds_needed` plans for."""
FEWEST_SEEDS = 3
"""Below this many seeds nothing is concluded."""
MOST_SEEDS = 1000
HOW = (
    "paired over seeds and examples: t interval, standard error from a bootstrap over examples "
    f"({RESAMPLES} resamples) and the spread over seeds, Welch-Satterthwaite degrees of freedom"
)
HOW_BY_DOMAIN = f"of the mean over domains, {HOW}; examples are drawn within each domain"

Outcome = Literal["BEATS", "TIES", "LOSES", "INCONCLUSIVE"]
Array = np.ndarray


@dataclass(frozen=True)
class Verdict:
    """What can be said of a minus b.

    Attributes:
        difference: mean over seeds, in units of the metric.
        interval: 95 % interval of it; None where there are fewer than two seeds.
        word: BEATS (interval above zero), LOSES (below), TIES (inside ± margin), else INCONCLUSIVE.
        seeds: how many.
        seeds_needed: about how many the seen difference would need for a verdict with 80 % power; None where it
            has one, where it cannot be told, or where no number of seeds would do.
        reason: why the word is INCONCLUSIVE, else empty.
    """

    difference: float
    interval: tuple[float, float] | None
    word: Outcome
    seeds: int
    seeds_needed: int | None = None
    reason: str = ""


def decide(scores: Array, resampled: Array, margin: float) -> Verdict:
    """The verdict on a difference.

    Args:
        scores: a minus b per seed on the whole split, [seeds].
        resampled: the same on bootstrap resamples of the examples, [resamples, seeds].
        margin: differences this small count as none.
    """
    count, mean = len(scores), float(np.mean(scores))
    if not np.isfinite(scores).all():
        return Verdict(mean, None, "INCONCLUSIVE", count, None, "a score is undefined")
    if count < 2:
        return Verdict(mean, None, "INCONCLUSIVE", count, None, "one seed shows no spread")
    from_examples = float(np.nanvar(np.nanmean(resampled, axis=1), ddof=1))
    from_seeds = float(np.var(scores, ddof=1))
    low, high = interval(mean, from_examples, from_seeds, count)
    if count >= FEWEST_SEEDS and -margin < low and high < margin:
        return Verdict(mean, (low, high), "TIES", count)
    if count >= FEWEST_SEEDS and (low > 0 or high < 0):
        return Verdict(mean, (low, high), "BEATS" if low > 0 else "LOSES", count)
    needed = seeds_needed(mean, from_examples, from_seeds)
    if needed is None:
        reason = "no number of seeds would do: this dev split has too few examples for a difference this small"
    elif needed > count:
        reason = f"the seen difference would need about {needed} seeds"
    else:
        reason = f"fewer than {FEWEST_SEEDS} seeds" if count < FEWEST_SEEDS else "near the limit: a few more seeds"
    return Verdict(mean, (low, high), "INCONCLUSIVE", count, needed, reason)


def interval(mean: float, from_examples: float, from_seeds: float, seeds: int) -> tuple[float, float]:
    """The 95 % interval of a mean difference.

    Args:
        mean: over seeds.
        from_examples: σ_e², variance of that mean over resamples of the examples.
        from_seeds: σ_u², variance of the difference over seeds.
        seeds: how many.
    """
    error, freedom = _error(from_examples, from_seeds, seeds)
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    return mean - reach, mean + reach


def _error(from_examples: float, from_seeds: float, seeds: int) -> tuple[float, float]:
    """Standard error of the mean difference, and its degrees of freedom."""
    a, b = from_examples, from_seeds / seeds
    spread = a**2 / (RESAMPLES - 1) + b**2 / (seeds - 1)
    return float(np.sqrt(a + b)), (a + b) ** 2 / spread if spread else float(RESAMPLES)


def power(difference: float, from_examples: float, from_seeds: float, seeds: int) -> float:
    """The chance that the interval of a true difference excludes zero on its side (noncentral t)."""
    error, freedom = _error(from_examples, from_seeds, seeds)
    if not error:
        return float(difference != 0)
    limit = stats.t.ppf((1 + CONFIDENCE) / 2, freedom)
    return float(stats.nct.sf(limit, freedom, abs(difference) / error))


def seeds_needed(difference: float, from_examples: float, from_seeds: float) -> int | None:
    """The fewest seeds (from 3) with which such a difference would get its verdict with 80 % power.

    Returns:
        None where even `MOST_SEEDS` would not do.
    """
    if power(difference, from_examples, from_seeds, MOST_SEEDS) < POWER:
        return None
    low, high = FEWEST_SEEDS, MOST_SEEDS
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
    answers: Array,
    seed: int = 0,
    resamples: int = RESAMPLES,
    domains: Array | None = None,
) -> Array:
    """A metric on bootstrap resamples of the examples, the same examples for every column of answers.

    With domains the statistic is the one that is reported, the plain mean of the metric over them, and examples are
    drawn within each domain: a test set has so many rows of a domain by design, not by chance.

    Args:
        metric: one of `SUFFICIENT`.
        gold: class indices, scores or texts, [rows].
        answers: predictions, [columns, rows].
        seed: of the resampling.
        resamples: how many.
        domains: what tells the rows of one domain from another's, [rows]; None is one for all.

    Returns:
        [resamples, columns]; NaN where the metric is undefined.
    """
    features, finish = SUFFICIENT[metric]
    groups = [np.arange(len(gold))] if domains is None else [np.flatnonzero(domains == d) for d in np.unique(domains)]
    drawn = np.random.default_rng(seed)
    parts = [_resampled(features, finish, gold[rows], answers[:, rows], drawn, resamples) for rows in groups]
    return np.mean(parts, axis=0)


def _resampled(
    features: Callable[[Array, Array], Array],
    finish: Callable[[Array], Array],
    gold: Array,
    answers: Array,
    stream: np.random.Generator,
    resamples: int,
) -> Array:
    """The metric on resamples of the rows of one domain, [resamples, columns]; `SUFFICIENT` says what it is made of."""
    table = np.stack([features(gold, column) for column in answers])  # [columns, rows, features]
    columns, rows, width = table.shape
    flat = np.ascontiguousarray(table.transpose(1, 0, 2).reshape(rows, columns * width))
    made = np.empty((resamples, columns))
    for i in range(resamples):
        weights = np.bincount(stream.integers(rows, size=rows), minlength=rows).astype(np.float64)
        made[i] = finish((weights @ flat).reshape(columns, width))
    return made


def _hits(gold: Array, found: Array) -> Array:
    return np.stack([gold == found, np.ones(len(gold))], axis=-1).astype(np.float64)


def _confusion(gold: Array, found: Array) -> Array:
    """True positives, false positives, false negatives, true negatives of class 1."""
    yes, said = gold == 1, found == 1
    return np.stack([yes & said, ~yes & said, yes & ~said, ~yes & ~said], axis=-1).astype(np.float64)


def _moments(gold: Array, found: Array) -> Array:
    # centred first: sums of squares of numbers far from zero would lose digits
    x, y = np.asarray(gold, np.float64) - np.mean(gold), np.asarray(found, np.float64) - np.mean(found)
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=-1)


def _ranked(gold: Array, found: Array) -> Array:
    """Moments of the ranks in the whole split; a resample's own ranks differ from them only by rounding."""
    return _moments(stats.rankdata(gold), stats.rankdata(found))


def _entity_counts(gold: Array, found: Array) -> Array:
    """Entities that are right, that were said, that there are."""
    return np.array(
        [entities.count_matches(*pair) for pair in zip(gold.tolist(), found.tolist(), strict=True)], np.float64
    )


def _divide(top: Array, bottom: Array) -> Array:
    return np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom > 0)


def _f1(sums: Array) -> Array:
    tp, fp, fn, _ = sums.T
    return _divide(2 * tp, 2 * tp + fp + fn)


def _mcc(sums: Array) -> Array:
    tp, fp, fn, tn = sums.T
    bottom = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return np.nan_to_num(_divide(tp * tn - fp * fn, bottom))  # zero for constant answers, as scikit-learn has it


def _correlation(sums: Array) -> Array:
    n, x, y, xx, yy, xy = sums.T
    return _divide(xy - x * y / n, np.sqrt(np.maximum((xx - x * x / n) * (yy - y * y / n), 0)))


SUFFICIENT: dict[str, tuple[Callable[[Array, Array], Array], Callable[[Array], Array]]] = {
    "accuracy": (_hits, lambda sums: sums[:, 0] / sums[:, 1]),
    "f1": (_confusion, _f1),
    "mcc": (_confusion, _mcc),
    "pearson": (_moments, _correlation),
    "spearman": (_ranked, _correlation),
    "entity_f1": (_entity_counts, lambda sums: _divide(2 * sums[:, 0], sums[:, 1] + sums[:, 2])),
    "entity_precision": (_entity_counts, lambda sums: _divide(sums[:, 0], sums[:, 1])),
    "entity_recall": (_entity_counts, lambda sums: _divide(sums[:, 0], sums[:, 2])),
}
"""Metric → (numbers per example, [rows, k]; the metric from their sums, [columns, k]): a resample changes only sums."""
