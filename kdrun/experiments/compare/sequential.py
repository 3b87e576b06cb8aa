"""Group-sequential looks at a comparison.

Rule: group-sequential test with the O'Brien-Fleming-like spending function of Lan & DeMets (1983) and repeated
confidence intervals (Jennison & Turnbull 1989; 2000, chapters 7, 9 and 11).

The mean over n seeds has the information I_n = 1 / (σ_e² + σ_u²/n). As Cov(mean_n, mean_k) = Var(mean_max(n,k)), its
increments are independent, as group-sequential theory asks. At the information fraction t_n = I_n / I_N of at most N
seeds, the error spent so far is 4 - 4 Φ(z / √t_n), with Φ(z) = 1 - level / 4. The boundary of each look follows by
numerical integration (Armitage, McPherson & Rowe 1969), and gives the nominal level of the look.

Seeds are few at the first looks, so σ_u² is rough. Where it is too small by chance, an interval with
Welch-Satterthwaite degrees of freedom is too short, and repeated looks find such moments: in simulations
(`scripts/simulate_comparisons.py`) up to 10 % of equal arms got a verdict. Three measures hold 5 % there:

- The critical value is that of Cochran & Cox (`significance`), at the level of the look.
- t_n takes the upper 90 % limit of σ_u², which puts off spending.
- The level is multiplied by `CALIBRATION`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import optimize, special

from kdrun.experiments.compare.significance import Array, Estimate

RULE = (
    "group-sequential: O'Brien-Fleming-like spending of the error over information (Lan & DeMets 1983), repeated "
    "confidence intervals (Jennison & Turnbull 1989)"
)
BY_LOOK = " at the level of the look"
"""End of the description of an interval, after `significance.CRITICAL_VALUES`."""
CALIBRATION = 0.85
"""Share of the level that is spent: t quantiles at nominal levels exceed it slightly with few seeds."""
LIMIT = 0.1
"""The upper limit of σ_u² is exceeded with this probability."""
NODES, WEIGHTS = np.polynomial.legendre.leggauss(160)
WIDEST = 9.0
"""Boundary in standard errors beyond which nothing is integrated."""
GRID = np.linspace(0, 0.86, 13)
"""1 - √(1 - share) for the tabulated shares of σ_e² in the variance of the last look, 0 to 0.98."""


@dataclass(frozen=True)
class Looks:
    """Looks at a comparison after each seed.

    Attributes:
        first: number of seeds at the first look.
        last: number of seeds at the last look.
    """

    first: int
    last: int

    def half_width(self, level: Any, estimate: Estimate) -> Array:
        """Half the width of the interval at the look of an estimate, for a claim with this level over all looks."""
        return estimate.half_width(self.nominal(level, estimate))

    def nominal(self, level: Any, estimate: Estimate) -> Array:
        """The level of the interval at the look of an estimate, for a claim with this level over all looks."""
        count = np.clip(np.asarray(estimate.seeds), self.first, self.last).astype(int)
        variance = np.asarray(estimate.from_examples, float)
        limit = np.asarray(estimate.from_seeds) * (count - 1) / special.chdtri(count - 1, 1 - LIMIT)
        total = variance + limit / self.last
        share = np.divide(variance, total, out=np.ones(np.shape(total)), where=total > 0)
        place = 1 - np.sqrt(1 - np.clip(np.nan_to_num(share), 0, 1))
        left = np.clip(np.searchsorted(GRID, place, side="right") - 1, 0, len(GRID) - 2)
        weight = np.clip((place - GRID[left]) / (GRID[left + 1] - GRID[left]), 0, 1)
        levels, boundary = np.broadcast_to(level, place.shape), np.empty(place.shape)
        for value in np.unique(levels):
            table, rows = _table(float(value), self.first, self.last), levels == value
            look, i, w = (count - self.first)[rows], left[rows], weight[rows]
            boundary[rows] = (1 - w) * table[i, look] + w * table[i + 1, look]
        return 2 * special.ndtr(-boundary)


@lru_cache(maxsize=256)
def _table(level: float, first: int, last: int) -> Array:
    """Boundaries of all looks for each share of `GRID`, [shares, looks]."""
    shares, seeds = 1 - (1 - GRID) ** 2, np.arange(first, last + 1)
    spent = level if first == last else CALIBRATION * level
    return np.stack([boundaries(1 / (share + (1 - share) * last / seeds), spent) for share in shares])


def spent_error(fractions: Array, level: float) -> Array:
    """The error spent on both sides up to each information fraction, as by the boundary of O'Brien and Fleming."""
    return 4 * special.ndtr(special.ndtri(level / 4) / np.sqrt(fractions))


def boundaries(fractions: Array, level: float) -> Array:
    """The standard errors from zero at which each look ends the test, [looks].

    Args:
        fractions: information fraction of each look, rising to 1.
        level: error to spend on both sides together.
    """
    increments = np.diff(spent_error(fractions, level), prepend=0)
    limits, density, points = [], np.empty(0), np.empty(0)
    for look, increment in enumerate(increments):
        correlation = math.sqrt(fractions[look - 1] / fractions[look]) if look else 0.0
        scale = math.sqrt(1 - correlation**2)
        limit = _limit(increment, density, correlation * points, scale) if look else -special.ndtri(increment / 2)
        limits.append(min(limit, WIDEST))
        new = limits[-1] * NODES
        if look:
            steps = (new[:, None] - correlation * points) / scale
            values = (np.exp(-(steps**2) / 2) / (scale * math.sqrt(2 * math.pi))) @ density
        else:
            values = np.exp(-(new**2) / 2) / math.sqrt(2 * math.pi)
        density, points = values * limits[-1] * WEIGHTS, new
    return np.array(limits)


def _limit(increment: float, density: Array, means: Array, scale: float) -> float:
    """The boundary that the test crosses with probability `increment`, and at no earlier look.

    Args:
        increment: the error to spend.
        density: probability of each node among the tests that go on.
        means: mean of this look's statistic given each node.
        scale: its standard deviation.
    """

    def excess(limit: float) -> float:
        beyond = special.ndtr((means - limit) / scale) + special.ndtr((-limit - means) / scale)
        return float(beyond @ density) - increment

    return optimize.brentq(excess, 0.5, WIDEST, xtol=1e-7) if excess(WIDEST) < 0 else WIDEST  # pyright: ignore
