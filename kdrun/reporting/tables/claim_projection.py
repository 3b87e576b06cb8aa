"""Projected rows and seeds that would decide an undecided claim."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import variance
from typing import Any

QUANTILES = 1.96 + 0.84
"""Standard errors between zero and a difference that a 95 % interval excludes from zero with a power of 80 %."""
RESAMPLES = 2000
"""Resamples of the examples behind the intervals of a comparison."""
ROUNDS = 20


@dataclass(frozen=True)
class Projection:
    """Rows to judge by and seeds per arm that would decide, and their training time.

    Attributes:
        rows: rows of the reported split.
        seeds: seeds per arm, at least 3.
        seconds: training time of these seeds in both arms; None if it was not measured.
    """

    rows: int
    seeds: int
    seconds: float | None


def project(record: dict[str, Any], pair: dict[str, Any]) -> Projection | None:
    """Project what would decide a pair if its true difference is the measured one.

    The variance of a mean difference over n seeds on R rows is σ_e²/R + σ_u²/n. σ_u² is the variance of the
    differences by seed, σ_e²/R the rest of the squared standard error of the interval. Decided is a difference from
    zero, or a tie within the margin, whichever needs less. Half of the variance that this allows goes to the rows, half
    to the seeds; neither number becomes smaller than it is.

    Args:
        record: the comparison.
        pair: one of its pairs, with its interval.

    Returns:
        None without an interval or the number of rows.
    """
    margin, difference = record.get("margin") or 0.0, abs(pair["difference"])
    target, variances = max(difference, margin - difference) / QUANTILES, _variances(record, pair)
    if variances is None or not record.get("rows") or not target:
        return None
    from_rows, from_seeds = variances
    rows = max(record["rows"], math.ceil(record["rows"] * from_rows / (target**2 / 2)))
    seeds = max(3, pair["seeds"], math.ceil(from_seeds / (target**2 / 2)))
    return Projection(rows, seeds, training_seconds(record, pair, seeds))


def training_seconds(record: dict[str, Any], pair: dict[str, Any], seeds: int) -> float | None:
    """Return the training time of both arms of a pair for a number of seeds; None if it was not measured."""
    by_arm = {arm["name"]: arm["seconds"] for arm in record["arms"]}
    seconds = [by_arm[pair[side]] for side in "ab"]
    return None if None in seconds else seeds * sum(seconds)


def _variances(record: dict[str, Any], pair: dict[str, Any]) -> tuple[float, float] | None:
    """Return σ_e²/R and σ_u² of a pair; None without an interval. Older records lack them, and they are derived."""
    if pair["interval"] is None:
        return None
    if pair.get("variance"):
        return pair["variance"]["examples"], pair["variance"]["seeds"]
    scores = {arm["name"]: arm["scores"] for arm in record["arms"]}
    a, b = (scores[pair[side]] for side in "ab")
    differences = [a[seed] - b[seed] for seed in a if a[seed] is not None and b.get(seed) is not None]
    if len(differences) < 2:
        return None
    level, from_seeds = pair.get("confidence") or record["confidence"], variance(differences)
    return _variance_from_rows(pair["interval"], level, from_seeds, len(differences)), from_seeds


def _variance_from_rows(interval: list[float], level: float, from_seeds: float, seeds: int) -> float:
    """Return σ_e²/R from a t interval with the Welch-Satterthwaite degrees of freedom, which depend on it.

    The equation may have two solutions. The larger one is that of pairs for which no number of seeds is enough; for the
    others `seeds_needed` is known.
    """
    from scipy import stats

    half_width, by_seeds = (interval[1] - interval[0]) / 2, from_seeds / seeds
    freedom, by_rows = float(RESAMPLES - 1), 0.0
    for _ in range(ROUNDS):
        error = half_width / float(stats.t.ppf((1 + level) / 2, freedom))
        by_rows = max(0.0, error**2 - by_seeds)
        spread = by_rows**2 / (RESAMPLES - 1) + by_seeds**2 / (seeds - 1)
        freedom = (by_rows + by_seeds) ** 2 / spread if spread else float(RESAMPLES)
    return by_rows
