"""Paired confidence intervals over seeds and examples, and their verdicts.

Model: the difference with seed s on this dev split is d_s = δ + e + u_s. The error e comes from the sample of examples
in the split, the same for all seeds; u_s comes from the seed. The mean over n seeds has variance σ_e² + σ_u²/n.

- σ_e² is the variance of that mean over bootstrap resamples of the examples. Both arms and all seeds share the
  resamples, so errors that both arms make cancel (the pairing).
- σ_u² is the sample variance of d_s, which is the bootstrap over seeds in closed form. Three seeds have only ten
  different resamples, and a percentile interval over them is far too short.

The interval is mean ± c · SE with the critical value c of Cochran & Cox (1950): (σ_e² z + σ_u²/n · t) / SE², with the
quantiles z of the normal distribution and t of Student's with n - 1 degrees of freedom. A t interval with
Welch-Satterthwaite degrees of freedom would be too short for three seeds that vary much more than the rows: in
simulations (`scripts/simulate_comparisons.py`) up to 7.4 % of equal arms got a verdict. Noise of the interaction of
seed and example enters both variances, so the interval is conservative. `family` chooses the level of each interval:
95 % for a pair alone, more where several claims or several looks share the 5 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import special, stats

RESAMPLES = 2000
CONFIDENCE = 0.95
ALPHA = 1 - CONFIDENCE
"""Probability of a wrong verdict, over all claims and all looks."""
POWER = 0.8
"""Probability of a verdict that `seeds_needed` plans for."""
MIN_SEEDS = 3
"""With fewer seeds the verdict is INCONCLUSIVE."""
MAX_SEEDS = 1000
"""Largest number of seeds that `seeds_needed` considers."""
CRITICAL_VALUES = "critical values of Cochran & Cox"
"""Rule of the critical values, in records. Those of older versions name Welch-Satterthwaite degrees of freedom."""
HOW = (
    "paired over seeds and examples: standard error from a bootstrap over examples "
    f"({RESAMPLES} resamples) and the spread over seeds, {CRITICAL_VALUES}"
)
HOW_BY_DOMAIN = f"of the mean over domains, {HOW}; examples are drawn within each domain"

BY_GROUP = "; of held-out rows whole groups are drawn, such as all phrases of a sentence"
"""The end of such a description for comparisons on held-out rows."""

Outcome = Literal["BEATS", "TIES", "LOSES", "INCONCLUSIVE"]
Array = np.ndarray


@dataclass(frozen=True)
class Estimate:
    """Mean differences and their variances: numbers, or arrays of equal shape; positive where arm a is better.

    Attributes:
        mean: mean over seeds, in units of the metric.
        from_examples: σ_e², variance of that mean over resamples of the examples.
        from_seeds: σ_u², variance of the difference over seeds.
        seeds: number of seeds.
    """

    mean: Any
    from_examples: Any
    from_seeds: Any
    seeds: Any

    def half_width(self, level: Any) -> Any:
        """Half the width of the interval with confidence 1 - level."""
        seeds, tail = np.asarray(self.seeds, float), np.asarray(level) / 2
        of_examples, of_seeds = np.asarray(self.from_examples, float), np.asarray(self.from_seeds, float) / seeds
        variance = of_examples + of_seeds
        quantiles = of_examples * special.ndtri(tail) + of_seeds * special.stdtrit(seeds - 1, tail)
        return np.divide(-quantiles, np.sqrt(variance), out=np.zeros(np.shape(quantiles)), where=variance > 0)


@dataclass(frozen=True)
class Verdict:
    """The verdict on the difference a - b, or b - a for a metric of which less is better.

    Attributes:
        difference: mean over seeds, in units of the metric.
        interval: confidence interval of the difference; None with fewer than two seeds.
        outcome: BEATS (interval above zero), LOSES (below), TIES (inside ± margin), else INCONCLUSIVE.
        num_seeds: number of seeds.
        level: the confidence of the interval is 1 - level.
        seeds_needed: estimated number of seeds for a verdict on this difference with 80 % power; None if there is a
            verdict, if no estimate is possible, or if no number of seeds is enough.
        reason: why the outcome is INCONCLUSIVE; else empty.
    """

    difference: float
    interval: tuple[float, float] | None
    outcome: Outcome
    num_seeds: int
    level: float = ALPHA
    seeds_needed: int | None = None
    reason: str = ""


def estimate(differences: Array, resampled: Array) -> Estimate | str:
    """The mean difference with its variances, or the reason why there are none.

    Args:
        differences: a - b per seed on the whole split, [seeds].
        resampled: the same on bootstrap resamples of the examples, [resamples, seeds].
    """
    count = len(differences)
    if not np.isfinite(differences).all():
        return "a score is undefined"
    if count < 2:
        return "one seed shows no spread"
    defined = resampled[np.isfinite(resampled).any(axis=1)]
    if len(defined) < 2:
        return "the metric is undefined on resamples of the examples"
    from_examples = float(np.nanvar(np.nanmean(defined, axis=1), ddof=1))
    return Estimate(float(np.mean(differences)), from_examples, float(np.var(differences, ddof=1)), count)


def explain(estimated: Estimate, outcome: Outcome, half_width: float, level: float = ALPHA) -> Verdict:
    """The verdict with its interval, and the reason of an INCONCLUSIVE one.

    Args:
        estimated: the mean difference with its variances.
        outcome: the outcome.
        half_width: half the width of the interval.
        level: level of the claim over all looks.
    """
    count, ends = estimated.seeds, (estimated.mean - half_width, estimated.mean + half_width)
    if outcome != "INCONCLUSIVE":
        return Verdict(estimated.mean, ends, outcome, count, level)
    needed = seeds_needed(estimated.mean, estimated.from_examples, estimated.from_seeds, level)
    if count < MIN_SEEDS:  # an estimate from two seeds is too rough to say that no number of seeds would do
        more = f"; the seen difference would need about {needed} seeds" if needed and needed > MIN_SEEDS else ""
        reason = f"fewer than {MIN_SEEDS} seeds{more}"
    elif needed is None:
        reason = "no number of seeds would do: this split has too few examples for a difference this small"
    elif needed > count:
        reason = f"the seen difference would need about {needed} seeds"
    else:
        reason = "near the limit: a few more seeds"
    return Verdict(estimated.mean, ends, outcome, count, level, needed, reason)


def standard_error(from_examples: Any, from_seeds: Any, seeds: Any) -> tuple[Any, Any]:
    """Standard error of the mean difference, and its Welch-Satterthwaite degrees of freedom."""
    a, b = np.asarray(from_examples, float), np.asarray(from_seeds, float) / seeds
    spread = a**2 / (RESAMPLES - 1) + b**2 / (np.asarray(seeds) - 1)
    freedom = np.divide((a + b) ** 2, spread, out=np.full(np.shape(spread), float(RESAMPLES)), where=spread > 0)
    return np.sqrt(a + b), freedom


def power(difference: float, from_examples: float, from_seeds: float, seeds: int, level: float = ALPHA) -> float:
    """Probability that the interval of a true difference is on the right side of zero (noncentral t)."""
    error, freedom = standard_error(from_examples, from_seeds, seeds)
    if not error:
        return float(difference != 0)
    half_width = Estimate(difference, from_examples, from_seeds, seeds).half_width(level)
    return float(stats.nct.sf(half_width / error, freedom, abs(difference) / error))


def seeds_needed(difference: float, from_examples: float, from_seeds: float, level: float = ALPHA) -> int | None:
    """The smallest number of seeds, at least 3, that gives such a difference a verdict with 80 % power.

    Returns:
        None if `MAX_SEEDS` are not enough.
    """
    if power(difference, from_examples, from_seeds, MAX_SEEDS, level) < POWER:
        return None
    low, high = MIN_SEEDS, MAX_SEEDS
    while low < high:
        middle = (low + high) // 2
        if power(difference, from_examples, from_seeds, middle, level) >= POWER:
            high = middle
        else:
            low = middle + 1
    return low
