"""Verdicts: metrics on resamples, wording, and error rates by simulation."""

import numpy as np
import pytest
from scipy import stats

from kdrun import registry
from kdrun.data import entities
from kdrun.experiments.compare import resampling, significance, verdicts
from kdrun.tasks import metrics, registered_metrics

RNG = np.random.default_rng(7)


@pytest.mark.parametrize("metric", list(resampling.SUFFICIENT_STATISTICS))
def test_sums_over_a_resample_give_the_metric_of_that_resample(metric: str) -> None:
    """A resample's metric from weighted sums is what scikit-learn, scipy or `entities` say of the drawn rows."""
    rows, draws = 1500 if metric == "spearman" else 60, np.random.default_rng(7)  # few rows have other ranks in a draw
    if metric in entities.METRICS:
        texts = np.array(["none", "person: Ann", "person: Ann; location: Rome", "location: Rome; location: Rome"])
        gold, answers = texts[draws.integers(0, 4, rows)], texts[draws.integers(0, 4, (2, rows))]

        def score(predicted: np.ndarray, true: np.ndarray) -> float | None:
            return entities.score(true.tolist(), predicted.tolist())[metric]
    elif metric == "rouge_l":
        texts = np.array(["a red bus", "by bus", "a bus is red", "no"])
        gold, answers = texts[draws.integers(0, 4, rows)], texts[draws.integers(0, 4, (2, rows))]

        def score(predicted: np.ndarray, true: np.ndarray) -> float | None:
            return registered_metrics.rouge_l(predicted.tolist(), true.tolist())
    elif metric == "teacher_kl":
        gold, answers = np.ones(rows, np.int64), draws.random((2, rows))

        def score(predicted: np.ndarray, true: np.ndarray) -> float | None:
            return float(predicted.mean())
    elif metric == "agreement":
        gold, answers = np.ones(rows, np.int64), draws.integers(0, 2, (2, rows))

        def score(predicted: np.ndarray, true: np.ndarray) -> float | None:
            return float(np.mean(predicted == true))
    else:

        def score(predicted: np.ndarray, true: np.ndarray) -> float | None:
            return metrics.compute([metric], predicted, true)[metric]

        if metric in ("pearson", "spearman"):
            gold = np.round(draws.uniform(0, 5, rows), 1)
            answers = np.stack([gold + draws.normal(0, s, rows) for s in (0.5, 2)])
        elif metric == "exact_match":
            gold = draws.integers(0, 2, (rows, 2))
            answers = np.stack([np.where(draws.random((rows, 2)) < p, gold, 1 - gold) for p in (0.9, 0.6)])
        else:
            gold = draws.integers(0, 2, rows)
            answers = np.stack([np.where(draws.random(rows) < p, gold, 1 - gold) for p in (0.9, 0.6)])
    resampled = resampling.resample(metric, gold, answers, seed=3, resamples=5)
    stream = np.random.default_rng(3)
    for row in resampled:
        indices = stream.integers(rows, size=rows)
        expected = np.array([score(column[indices], gold[indices]) for column in answers])
        np.testing.assert_allclose(row, expected.astype(float), atol=0.01 if metric == "spearman" else 1e-9)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "micro_f1", "weighted_f1", "mcc"])
def test_resamples_of_four_classes_are_those_of_scikit_learn(metric: str) -> None:
    gold = np.random.default_rng(5).integers(0, 4, 40)
    predictions = np.stack([np.where(np.random.default_rng(s).random(40) < 0.7, gold, (gold + 1) % 4) for s in (1, 2)])
    resampled = resampling.resample(metric, gold, predictions, seed=3, resamples=5)
    stream = np.random.default_rng(3)
    for row in resampled:
        rows = stream.integers(40, size=40)
        expected = [metrics.compute([metric], column[rows], gold[rows])[metric] for column in predictions]
        np.testing.assert_allclose(row, np.array(expected, float), atol=1e-12)


@pytest.mark.parametrize("metric", ["roc_auc", "average_precision", "macro_f1", "micro_f1", "weighted_f1"])
@pytest.mark.parametrize("shape", [2, 4, "sets"])
def test_resamples_of_rankings_and_label_sets_are_those_of_scikit_learn(metric: str, shape: int | str) -> None:
    stream = np.random.default_rng(5)
    probabilities = stream.random((2, 60, 3 if shape == "sets" else int(shape))).round(1)  # with ties
    gold = stream.integers(0, 2, (60, 3)) if shape == "sets" else stream.integers(0, int(shape), 60)
    predictions = (probabilities > 0.5).astype(int) if shape == "sets" else probabilities.argmax(axis=2)
    needs = registry.get("metric", metric).needs_probabilities
    resampled = resampling.resample(metric, gold, probabilities if needs else predictions, seed=3, resamples=5)
    stream = np.random.default_rng(3)
    for values in resampled:
        rows = stream.integers(60, size=60)
        expected = [
            metrics.compute([metric], column[rows], gold[rows], shares[rows])[metric]
            for column, shares in zip(predictions, probabilities, strict=True)
        ]
        np.testing.assert_allclose(values, np.array(expected, float), atol=1e-12)


def test_a_metric_that_most_resamples_leave_undefined_has_no_verdict() -> None:
    resampled = np.full((9, 3), np.nan)
    reason = significance.estimate(np.array([0.1, 0.2, 0.3]), resampled)
    assert isinstance(reason, str)
    assert "undefined" in reason


def test_a_metric_of_a_plugin_is_computed_on_each_resample(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {**registry.entries("metric"), "plugged": registry.Entry(registered_metrics.accuracy, None)}
    monkeypatch.setitem(registry._entries, "metric", entries)
    gold, predictions = np.array([0, 1, 1, 0]), np.array([[0, 1, 0, 0], [1, 1, 1, 1]])
    plugged, known = (resampling.resample(name, gold, predictions, resamples=9) for name in ("plugged", "accuracy"))
    np.testing.assert_allclose(plugged, known)


def test_a_constant_answer_has_mcc_zero_as_everywhere_else() -> None:
    gold = np.array([0, 1, 1, 0])
    assert (resampling.resample("mcc", gold, np.ones((1, 4), int), resamples=3) == 0).all()


def decide(differences: np.ndarray, resampled: np.ndarray, margin: float) -> significance.Verdict:
    """The verdict on a pair alone."""
    verdict = verdicts.decide_alone(significance.estimate(differences, resampled), margin)
    assert not isinstance(verdict, str)
    return verdict


def constant(value: float, seeds: int, noise: float = 0.0, resamples: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Differences of `value` with every seed, and resamples that scatter by `noise` around them."""
    scatter = np.random.default_rng(1).normal(0, noise, (resamples, 1)) if noise else np.zeros((resamples, 1))
    return np.full(seeds, value), value + np.repeat(scatter, seeds, axis=1)


def test_words() -> None:
    assert decide(*constant(0.05, 3, 0.01), margin=0.01).outcome == "BEATS"
    assert decide(*constant(-0.05, 3, 0.01), margin=0.01).outcome == "LOSES"
    assert decide(*constant(0.001, 3, 0.001), margin=0.01).outcome == "TIES"
    assert decide(*constant(0.02, 3, 0.02), margin=0.01).outcome == "INCONCLUSIVE"


def test_fewer_than_three_seeds_conclude_nothing() -> None:
    verdict = decide(*constant(0.5, 2, 0.001), margin=0.01)
    assert verdict.outcome == "INCONCLUSIVE"
    assert verdict.reason == "fewer than 3 seeds"
    assert verdict.interval is not None
    assert significance.estimate(*constant(0.5, 1, 0.001)) == "one seed shows no spread"


def test_two_seeds_are_never_told_that_no_number_would_do() -> None:
    """The split is too small for this difference, as below with three seeds; two seeds cannot tell."""
    verdict = decide(*constant(0.01, 2, noise=0.02, resamples=2000), margin=0.001)
    assert verdict.seeds_needed is None
    assert verdict.reason == "fewer than 3 seeds"


def test_two_seeds_with_an_estimate_name_the_number() -> None:
    differences = np.array([0.0, 0.02])
    verdict = decide(differences, differences + np.zeros((400, 1)), margin=0.001)
    assert verdict.reason == f"fewer than 3 seeds; the seen difference would need about {verdict.seeds_needed} seeds"


def test_an_undefined_score_concludes_nothing() -> None:
    scores, resampled = constant(0.5, 3)
    scores[1] = np.nan
    assert significance.estimate(scores, resampled) == "a score is undefined"


def test_inconclusive_estimates_the_seeds_needed() -> None:
    scores = np.array([0.0, 0.01, 0.02])
    verdict = decide(scores, scores + np.zeros((400, 1)), margin=0.001)
    assert verdict.outcome == "INCONCLUSIVE"
    # one sample, d = 1 sd, 80 % power at 5 %: ten, as in tables of the t test
    assert verdict.seeds_needed == 10
    assert "about 10 seeds" in verdict.reason


def test_inconclusive_reports_a_split_too_small_for_any_number_of_seeds() -> None:
    scores, resampled = constant(0.01, 3, noise=0.02, resamples=2000)
    verdict = decide(scores, resampled, margin=0.001)
    assert verdict.seeds_needed is None
    assert "too few examples" in verdict.reason


def test_the_interval_without_noise_of_examples_is_the_paired_t_interval() -> None:
    scores = np.array([0.01, 0.03, 0.02, 0.05])
    half = significance.Estimate(scores.mean(), 0.0, scores.var(ddof=1), 4).half_width(significance.ALPHA)
    low, high = scores.mean() - half, scores.mean() + half
    expected = stats.ttest_1samp(scores, 0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high))


def simulate(gain: float, seeds: int, rows: int, times: int, sd_seed: float) -> tuple[float, np.ndarray]:
    """Share of comparisons that end in BEATS or LOSES, and their words, on examples drawn afresh each time.

    An example has a difficulty that all runs share; a run has its own level. Arm a's level is `gain` higher.
    """
    stream, words = np.random.default_rng(11), []
    for _ in range(times):
        easy = stream.normal(1.2, 1.5, rows)
        right = []
        for arm_gain in (gain, 0.0):
            level = arm_gain + stream.normal(0, sd_seed, (seeds, 1))
            right.append((easy + level + stream.normal(0, 0.7, (seeds, rows)) > 0).astype(int))
        answers = np.concatenate(right)
        again = resampling.resample("accuracy", np.ones(rows, int), answers, resamples=120)
        scores = answers.mean(axis=1)
        verdict = decide(scores[:seeds] - scores[seeds:], again[:, :seeds] - again[:, seeds:], margin=0.0)
        words.append(verdict.outcome)
    return float(np.isin(words, ["BEATS", "LOSES"]).mean()), np.array(words)


@pytest.mark.parametrize(("seeds", "sd_seed"), [(3, 0.1), (3, 0.0), (5, 0.3)])
def test_without_a_difference_verdicts_are_wrong_in_at_most_about_five_percent(seeds: int, sd_seed: float) -> None:
    """250 comparisons: 5 % wrong verdicts would show as 12.5 ± 3.4; nine in ten of the bound's runs stay below 20."""
    wrong, _ = simulate(0.0, seeds, rows=300, times=250, sd_seed=sd_seed)
    assert wrong <= 20 / 250


def test_with_a_known_difference_the_power_is_as_computed() -> None:
    """Differences drawn from the model itself: the share of BEATS is the power that was computed."""
    stream = np.random.default_rng(5)
    gain, from_examples, from_seeds, seeds, times = 0.02, 0.004**2, 0.01**2, 5, 1500
    beats = 0
    for _ in range(times):
        scores = gain + stream.normal(0, from_examples**0.5) + stream.normal(0, from_seeds**0.5, seeds)
        resampled = np.repeat(scores.mean() + stream.normal(0, from_examples**0.5, (200, 1)), seeds, axis=1)
        beats += decide(scores, resampled, margin=0.0).outcome == "BEATS"
    computed = significance.power(gain, from_examples, from_seeds, seeds)
    assert 0.5 < computed < 0.95
    assert beats / times == pytest.approx(computed, abs=0.04)


def test_power_grows_with_seeds_and_seeds_needed_is_where_it_passes() -> None:
    needed = significance.seeds_needed(0.01, 0.002**2, 0.01**2)
    assert needed is not None
    assert significance.power(0.01, 0.002**2, 0.01**2, needed) >= significance.POWER
    assert significance.power(0.01, 0.002**2, 0.01**2, needed - 1) < significance.POWER


def test_with_domains_a_resample_is_the_mean_over_them_drawn_within_each() -> None:
    gold = np.array([1, 1, 1, 1, 1, 1, 1, 1, 0, 0])
    answers = np.stack([gold, np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 1])])
    domains = np.array(["a"] * 8 + ["b"] * 2)
    resampled = resampling.resample("accuracy", gold, answers, seed=3, resamples=4000, domains=domains)
    assert (resampled[:, 0] == 1).all()
    # half right in either domain: mean 0.5, variance (0.25 / 8 + 0.25 / 2) / 4
    assert resampled[:, 1].mean() == pytest.approx(0.5, abs=0.02)
    assert resampled[:, 1].var() == pytest.approx((0.25 / 8 + 0.25 / 2) / 4, rel=0.1)
    # each domain always keeps its own number of rows: in quarters of b and sixteenths of a
    assert np.isin(resampled[:, 1] * 16, np.arange(17)).all()


def test_one_domain_is_the_whole_split() -> None:
    gold, answers = RNG.integers(0, 2, 30), RNG.integers(0, 2, (2, 30))
    plain = resampling.resample("f1", gold, answers, seed=1, resamples=5)
    np.testing.assert_array_equal(resampling.resample("f1", gold, answers, 1, 5, np.zeros(30)), plain)


def test_the_paired_difference_by_domain_follows_the_reported_score() -> None:
    """Arms of equal accuracy over rows, one better in the small domain: the resamples center on the reported gap."""
    gold, domains = np.ones(100, int), np.array([0] * 90 + [1] * 10)
    first, second = gold.copy(), gold.copy()
    first[:9] = 0  # nine wrong in the large domain
    second[90:99] = 0  # nine wrong in the small one
    resampled = resampling.resample("accuracy", gold, np.stack([first, second]), resamples=1000, domains=domains)
    reported = [metrics.by_domain(["accuracy"], a, gold, domains, ["x", "y"])["accuracy"] for a in (first, second)]
    assert reported == [pytest.approx(0.95), pytest.approx(0.55)]
    assert (resampled[:, 0] - resampled[:, 1]).mean() == pytest.approx(0.4, abs=0.01)


def test_a_resample_without_entities_has_no_f1() -> None:
    resampled = resampling.resample("entity_f1", np.array(["none", "none"]), np.array([["none", "none"]]), resamples=3)
    assert np.isnan(resampled).all()
