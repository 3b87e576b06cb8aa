"""Scores of the ended runs of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from kdrun.experiments.compare import significance
from kdrun.experiments.compare.claims import Claim
from kdrun.experiments.compare.significance import Array, Estimate
from kdrun.reporting.tables import metric_format

NO_SEED = "no seed was finished by both"


@dataclass
class Scores:
    """Scores of the finished runs of a comparison.

    Attributes:
        values: (arm, seed) → score on the reported rows; None where it is undefined.
        resampled: (arm, seed) → scores on bootstrap resamples of these rows, [resamples].
        failed: (arm, seed) of failed runs.
        metric: the metric, which decides whether a higher score is better.
    """

    values: dict[tuple[str, int], float | None] = field(default_factory=dict)
    resampled: dict[tuple[str, int], Array] = field(default_factory=dict)
    failed: set[tuple[str, int]] = field(default_factory=set)
    metric: str = "accuracy"

    @property
    def sign(self) -> int:
        """1 if a higher score is better, else -1: this times a difference a - b is by how much arm a is better."""
        return -1 if metric_format.is_lower_better(self.metric) else 1

    def has_ended(self, arm: str, seed: int) -> bool:
        """Whether a run is finished or failed."""
        return (arm, seed) in self.values or (arm, seed) in self.failed

    def common_seeds(self, claim: Claim, seeds: Sequence[int] | None = None) -> list[int]:
        """The seeds that both arms finished; with `seeds`, only those among them."""
        by_arm = [{seed for arm, seed in self.values if arm == name} for name in (claim.a, claim.b)]
        common = by_arm[0] & by_arm[1]
        return sorted(common if seeds is None else common & set(seeds))

    def estimate(self, claim: Claim, seeds: Sequence[int] | None = None) -> Estimate | str:
        """By how much `claim.a` is better than `claim.b`, the mean over their common seeds, or why there is none."""
        common = self.common_seeds(claim, seeds)
        if not common:
            return NO_SEED
        return significance.estimate(
            self.sign * np.array([self._difference(claim, seed) for seed in common]),
            self.sign
            * np.stack([self.resampled[claim.a, seed] - self.resampled[claim.b, seed] for seed in common], axis=1),
        )

    def mean_difference(self, claim: Claim, seeds: Sequence[int] | None = None) -> float | None:
        """The mean difference a - b of a pair; None without seeds, NaN with an undefined score."""
        common = self.common_seeds(claim, seeds)
        return float(np.mean([self._difference(claim, seed) for seed in common])) if common else None

    def _difference(self, claim: Claim, seed: int) -> float:
        a, b = (self.values[name, seed] for name in (claim.a, claim.b))
        return np.nan if a is None or b is None else a - b
