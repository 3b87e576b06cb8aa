"""Sampler and pruner of a search."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.samplers import BaseSampler, TPESampler

from kdrun import rng

STARTUP_TRIALS = 10
"""Trials that are drawn at random before the sampler learns from their scores."""
PRUNING_STARTUP, PRUNING_WARMUP, PRUNING_REFERENCES = 5, 30, 3
"""Pruning begins after this many finished trials, in percent of a training, and with this many scores to compare."""


class NumberedSampler(BaseSampler):
    """Tree-structured Parzen estimator whose randomness is a function of the seed and the trial's number.

    A trial's values then depend on the seed, its number and the trials before it, not on the process that asks. A
    search that is stopped and resumed asks the same as an unbroken one if one process at a time works on it: with
    several, the trials that have ended by then depend on their speed.

    Args:
        seed: of the search.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._number, self._sampler = -1, TPESampler()

    def _of(self, trial: optuna.trial.FrozenTrial) -> TPESampler:
        if trial.number != self._number:
            seed = rng.derive(self._seed, "tune", index=trial.number) % 2**32
            self._number, self._sampler = trial.number, TPESampler(n_startup_trials=STARTUP_TRIALS, seed=seed)
        return self._sampler

    def infer_relative_search_space(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial
    ) -> dict[str, optuna.distributions.BaseDistribution]:
        """Delegate to the trial's sampler, as the other methods do."""
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self,
        study: optuna.Study,
        trial: optuna.trial.FrozenTrial,
        search_space: dict[str, optuna.distributions.BaseDistribution],
    ) -> dict[str, Any]:
        """Draw the values of all keys together."""
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: optuna.trial.FrozenTrial,
        param_name: str,
        param_distribution: optuna.distributions.BaseDistribution,
    ) -> Any:
        """Draw the value of one key."""
        return self._of(trial).sample_independent(study, trial, param_name, param_distribution)


def median_pruner() -> optuna.pruners.BasePruner:
    """Pruner that stops a trial whose best score so far is below the median of the finished trials at that share."""
    return optuna.pruners.MedianPruner(
        n_startup_trials=PRUNING_STARTUP, n_warmup_steps=PRUNING_WARMUP, n_min_trials=PRUNING_REFERENCES
    )
