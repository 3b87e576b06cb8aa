"""Group-sequential looks, and the simulation of whole comparisons."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.comparisons import Setting, simulate
from kdrun.experiments.compare import sequential
from kdrun.experiments.compare.sequential import Looks
from kdrun.experiments.compare.significance import Estimate


@pytest.mark.parametrize(
    ("looks", "published"), [(1, [1.960]), (2, [2.963, 1.969]), (5, [4.877, 3.357, 2.680, 2.290, 2.031])]
)
def test_boundaries_are_the_published_ones(looks: int, published: list[float]) -> None:
    """Lan & DeMets, O'Brien-Fleming-like, equally spaced looks, two-sided 5 % (Jennison & Turnbull 2000)."""
    fractions = np.arange(1, looks + 1) / looks
    assert sequential.boundaries(fractions, 0.05) == pytest.approx(published, abs=2e-3)


def test_the_boundary_spends_the_error_where_looks_are_nearly_one() -> None:
    """Correlated looks, whose densities are narrow: simulated paths cross in 5 %."""
    fractions = 1 / (0.95 + 0.05 * 8 / np.arange(3, 9))
    limits = sequential.boundaries(fractions, 0.05)
    steps = np.sqrt(np.diff(fractions, prepend=0))
    paths = (np.random.default_rng(3).normal(size=(100_000, 6)) * steps).cumsum(axis=1) / np.sqrt(fractions)
    assert (np.abs(paths) > limits).any(axis=1).mean() == pytest.approx(0.05, abs=0.003)


def estimate(from_examples: float, from_seeds: float, seeds: int) -> Estimate:
    return Estimate(*(np.array([value]) for value in (0.0, from_examples, from_seeds, seeds)))


def test_one_look_is_a_t_interval_and_examples_alone_a_normal_one() -> None:
    once = Looks(5, 5)
    assert once.half_width(0.05, estimate(0.0, 5.0, 5))[0] == pytest.approx(stats.t.ppf(0.975, 4), abs=1e-4)
    assert once.half_width(0.05, estimate(4.0, 0.0, 5))[0] == pytest.approx(2 * 1.96, abs=1e-3)
    assert once.half_width(0.05, estimate(0.0, 0.0, 5))[0] == 0


def test_seeds_without_noise_make_the_first_look_the_only_one() -> None:
    """More seeds add no information, so nearly the whole error is spent at once."""
    looks = Looks(3, 20)
    assert 0.03 < looks.nominal(np.array([0.05]), estimate(1.0, 0.0, 3))[0] < 0.05
    assert looks.nominal(np.array([0.05]), estimate(0.0, 1.0, 3))[0] < 1e-4


def test_equal_arms_rarely_get_a_verdict_and_different_ones_do() -> None:
    """Of 600 comparisons of equal arms, 5 % are 30 ± 5."""
    looks = Looks(3, 8)
    equal = simulate(Setting((0, 0), from_seeds=0.018), looks, 600, seeds=8)
    assert equal.wrong <= 45 / 600
    assert equal.seeds > 7.5
    different = simulate(Setting((0.05, 0)), looks, 600, seeds=8)
    assert different.right > 0.99
    assert different.seeds < 4.5


def test_ties_are_found_and_rarely_wrong_at_the_margin() -> None:
    looks = Looks(3, 8)
    assert simulate(Setting((0, 0), from_examples=0.001, from_seeds=0.002), looks, 300, seeds=8).ties > 0.99
    assert simulate(Setting((0.01, 0), from_examples=0.002, from_seeds=0.002), looks, 600, seeds=8).wrong_ties <= 0.04


def test_arms_stop_once_their_claims_are_decided() -> None:
    """Arm 0 is needed until both claims are decided; arm 1 loses clearly, arm 2 is equal."""
    both = Setting((0.0, -0.2, 0.0), ((0, 1), (0, 2)))
    rates = simulate(both, Looks(3, 8), 200, seeds=8)
    assert rates.seeds == pytest.approx((8 + 3 + 8) / 3, abs=0.5)
