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

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

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
    defined = resampled[np.isfinite(resampled).any(axis=1)]
    if len(defined) < 2:
        return Verdict(mean, None, "INCONCLUSIVE", count, None, "the metric is undefined on resamples of the examples")
    from_examples = float(np.nanvar(np.nanmean(defined, axis=1), ddof=1))
    from_seeds = float(np.var(differences, ddof=1))
    low, high = interval(mean, from_examples, from_seeds, count)
    if count >= MIN_SEEDS and -margin < low and high < margin:
        return Verdict(mean, (low, high), "TIES", count)
    if count >= MIN_SEEDS and (low > 0 or high < 0):
        return Verdict(mean, (low, high), "BEATS" if low > 0 else "LOSES", count)
    needed = seeds_needed(mean, from_examples, from_seeds)
    if count < MIN_SEEDS:  # an estimate from two seeds is too rough to say that no number of seeds would do
        more = f"; the seen difference would need about {needed} seeds" if needed and needed > MIN_SEEDS else ""
        reason = f"fewer than {MIN_SEEDS} seeds{more}"
    elif needed is None:
        reason = "no number of seeds would do: this dev split has too few examples for a difference this small"
    elif needed > count:
        reason = f"the seen difference would need about {needed} seeds"
    else:
        reason = "near the limit: a few more seeds"
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
