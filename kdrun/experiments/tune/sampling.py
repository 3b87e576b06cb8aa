"""Sampler and pruner of a search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, TPESampler
from scipy.stats import qmc

from kdrun import rng

STARTUP_TRIALS = 10
"""Trials after the default values that cover the ranges evenly, before the sampler learns from their scores."""
PRUNING_STARTUP, PRUNING_WARMUP, PRUNING_REFERENCES = 5, 30, 3
"""Pruning begins after this many finished trials, in percent of a training, and with this many scores to compare."""


class NumberedSampler(BaseSampler):
    """Even coverage of the ranges, then a tree-structured Parzen estimator.

    The first `STARTUP_TRIALS` draws are points of a scrambled Sobol sequence: seven draws of a learning rate are in
    seven different eighths of its range. The randomness is a function of the seed and the trial's number.

    A trial's values then depend on the seed, its number and the trials before it, not on the process that asks. A
    search that is stopped and resumed asks the same as an unbroken one if one process at a time works on it: with
    several, the trials that have ended by then depend on their speed.

    Args:
        seed: of the search.
        keys: of the space.
    """

    def __init__(self, seed: int, keys: Sequence[str]) -> None:
        self._seed, self._keys = seed, list(keys)
        self._number, self._sampler = -1, TPESampler()

    def _of(self, trial: optuna.trial.FrozenTrial) -> TPESampler:
        if trial.number != self._number:
            seed = rng.derive(self._seed, "tune", index=trial.number) % 2**32
            self._number, self._sampler = trial.number, TPESampler(n_startup_trials=STARTUP_TRIALS, seed=seed)
        return self._sampler

    def infer_relative_search_space(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Delegate to the trial's sampler, as the other methods do."""
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self,
        study: optuna.Study,
        trial: optuna.trial.FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """Draw the values of all keys together."""
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: optuna.trial.FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Draw the value of one key."""
        if 1 <= trial.number <= STARTUP_TRIALS and param_name in self._keys:
            points = _even_points(rng.derive(self._seed, "tune") % 2**32, len(self._keys))
            return _at(param_distribution, float(points[trial.number - 1, self._keys.index(param_name)]))
        return self._of(trial).sample_independent(study, trial, param_name, param_distribution)


@cache
def _even_points(seed: int, dimensions: int) -> np.ndarray:
    """Points of a scrambled Sobol sequence in the unit cube, [at least STARTUP_TRIALS, dimensions]."""
    return qmc.Sobol(dimensions, scramble=True, rng=seed).random_base2(STARTUP_TRIALS.bit_length())


def _at(distribution: BaseDistribution, share: float) -> Any:
    """The value at a share of a range, 0 to 1."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(share * len(distribution.choices))]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    half = 0.5 if isinstance(distribution, IntDistribution) else 0.0  # each whole number has the same share
    low, high = distribution.low - half, distribution.high + half
    value = math.exp(math.log(low) + share * math.log(high / low)) if distribution.log else low + share * (high - low)
    value = min(max(value, distribution.low), distribution.high)
    return round(value) if isinstance(distribution, IntDistribution) else value


def median_pruner() -> optuna.pruners.BasePruner:
    """Pruner that stops a trial whose best score so far is below the median of the finished trials at that share."""
    return optuna.pruners.MedianPruner(
        n_startup_trials=PRUNING_STARTUP, n_warmup_steps=PRUNING_WARMUP, n_min_trials=PRUNING_REFERENCES
    )
