"""Holm's correction over the claims of a comparison, by hand."""

import numpy as np
from scipy import stats

from kdrun.experiments.compare import family
from kdrun.experiments.compare.significance import ALPHA, Estimate

MARGIN = 0.01
SEEDS = 400
"""So many seeds that t is close to the normal distribution."""


def differences(*p_values: float) -> Estimate:
    """Mean differences of 5 points whose two-sided p values these are."""
    means = np.full(len(p_values), 0.05)
    errors = means / stats.t.ppf(1 - np.array(p_values) / 2, SEEDS - 1)
    return Estimate(means, np.zeros(len(p_values)), errors**2 * SEEDS, np.full(len(p_values), SEEDS))


def words(estimate: Estimate, margin: float = MARGIN) -> list[str]:
    judged = family.judge(family.Judgment.before(np.shape(estimate.mean)), estimate, margin)
    return [family.WORDS[code] for code in judged.codes]


def test_each_verdict_raises_the_level_of_the_others() -> None:
    """5 %/3 = 1.67 %, 2.5 % and 5 %: the third fails, so the fourth is not tested at 5 %."""
    assert words(differences(0.016, 0.024, 0.049)) == ["BEATS", "BEATS", "BEATS"]
    assert words(differences(0.049, 0.024, 0.016)) == ["BEATS", "BEATS", "BEATS"]
    assert words(differences(0.018, 0.018, 0.018)) == ["INCONCLUSIVE"] * 3
    assert words(differences(0.016, 0.026, 0.027)) == ["BEATS", "INCONCLUSIVE", "INCONCLUSIVE"]
    assert words(differences(0.049)) == ["BEATS"]
    assert words(differences(0.051)) == ["INCONCLUSIVE"]


def test_levels_are_those_at_which_claims_were_decided() -> None:
    estimate = differences(0.016, 0.024, 0.06)
    judged = family.judge(family.Judgment.before((3,)), estimate, MARGIN)
    np.testing.assert_allclose(judged.levels, [ALPHA / 3, ALPHA / 2, ALPHA])
    np.testing.assert_allclose(judged.half_widths, estimate.half_width(judged.levels))


def test_a_tie_does_not_raise_the_level_of_a_difference() -> None:
    """Claim 1 ties clearly. Claim 2 has p = 4 %: significant alone, not next to another claim, at 2.5 %."""
    both = differences(0.5, 0.04)
    both.mean[0], both.from_seeds[0] = 0.0, 1e-9
    assert words(both) == ["TIES", "INCONCLUSIVE"]


def test_ties_have_a_correction_of_their_own() -> None:
    """The interval at 97.5 % is wider than the margin, that at 95 % is not; a second tie lowers the level."""
    error = MARGIN / stats.t.ppf(1 - 0.04 / 2, SEEDS - 1)
    narrow = Estimate(np.zeros(2), np.zeros(2), np.array([error**2, 1.0]) * SEEDS, np.full(2, SEEDS))
    assert words(narrow) == ["INCONCLUSIVE", "INCONCLUSIVE"]
    narrow.from_seeds[1] = 1e-9
    assert words(narrow) == ["TIES", "TIES"]


def test_decided_claims_stay_and_few_seeds_decide_nothing() -> None:
    estimate = differences(0.001, 0.001)
    estimate.seeds[1] = 2
    first = family.judge(family.Judgment.before((2,)), estimate, MARGIN)
    assert first.codes.tolist() == [family.BEATS, family.OPEN]
    second = family.judge(first, differences(0.9, 0.04), MARGIN)
    assert second.codes.tolist() == [family.BEATS, family.BEATS]
    np.testing.assert_allclose(second.levels, [ALPHA / 2, ALPHA])


def test_replications_are_judged_apart() -> None:
    estimate = differences(0.016, 0.024)
    stacked = Estimate(*(np.stack([value, value]) for value in vars(estimate).values()))
    stacked.mean[1] *= -1
    judged = family.judge(family.Judgment.before((2, 2)), stacked, MARGIN)
    assert judged.codes.tolist() == [[family.BEATS] * 2, [family.LOSES] * 2]
