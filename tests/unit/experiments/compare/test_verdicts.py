"""Records of verdicts: direction of the metric, and the interval that decides a tie."""

from typing import Any

import numpy as np
import pytest

from kdrun.experiments.compare import claims, verdicts
from kdrun.experiments.compare.claims import Claim
from kdrun.experiments.compare.replay import judge_once
from kdrun.experiments.compare.scores import Scores

NOISE = np.random.default_rng(1).normal(0, 1, 400)


def scores(metric: str, by_arm: dict[str, tuple[float, float]]) -> Scores:
    """Three seeds per arm: mean score, and the standard error by examples of its difference from another arm."""
    result = Scores(metric=metric)
    for arm, (mean, error) in by_arm.items():
        for seed in (1, 2, 3):
            result.values[arm, seed] = mean + 0.0001 * seed
            result.resampled[arm, seed] = mean + 0.0001 * seed + error * NOISE
    return result


def pairs(result: Scores, asked: list[Claim], names: list[str], margin: float = 0.01) -> list[dict[str, Any]]:
    return verdicts.judge_pairs(asked, judge_once(asked, result, margin), names, result, margin, "how")


@pytest.mark.parametrize(("metric", "outcome"), [("agreement", "LOSES"), ("teacher_kl", "BEATS")])
def test_a_smaller_divergence_is_better(metric: str, outcome: str) -> None:
    result = scores(metric, {"kd": (0.05, 0.001), "finetune": (0.25, 0.002)})
    (pair,) = pairs(result, [Claim("kd", "finetune")], ["finetune", "kd"])
    assert pair["word"] == outcome
    assert pair["difference"] == pytest.approx(-0.2)  # a - b, for every metric
    low, high = pair["interval"]
    assert low < -0.2 < high < 0


def test_the_sentence_of_a_divergence_has_nats() -> None:
    result = scores("teacher_kl", {"kd": (0.05, 0.001), "finetune": (0.25, 0.002)})
    (pair,) = pairs(result, [Claim("kd", "finetune")], ["finetune", "kd"])
    comparison = {"data_name": "SST-2", "metric": "teacher_kl", "split": "dev", "rows": 872, "margin": 0.01}
    text = claims.claim_record(pair, comparison)["text"]
    assert text.startswith("kd beats finetune on SST-2: −0.2000 nats [−0.20")
    assert text.endswith("the claim is supported.")


def test_an_open_claim_has_the_interval_that_decides_a_tie_where_it_differs() -> None:
    result = scores("accuracy", {"a": (0.5, 0.0), "b": (0.5, 0.0046), "c": (0.3, 0.0046), "d": (0.1, 0.0046)})
    asked = [Claim("b", "a"), Claim("b", "c"), Claim("b", "d")]
    near, *far = pairs(result, asked, ["a", "b", "c", "d"])[:3]
    assert [near["word"], *(pair["word"] for pair in far)] == ["INCONCLUSIVE", "BEATS", "BEATS"]
    assert near["confidence"] == 0.95  # two verdicts lowered it
    assert max(map(abs, near["interval"])) < 0.01
    assert near["tie_test"]["confidence"] == pytest.approx(1 - 0.05 / 3, abs=1e-6)  # which no tie has lowered
    assert max(map(abs, near["tie_test"]["interval"])) > 0.01


def test_a_claim_alone_has_one_interval() -> None:
    result = scores("accuracy", {"a": (0.5, 0.0), "b": (0.5, 0.02)})
    (pair,) = pairs(result, [Claim("b", "a")], ["a", "b"])
    assert pair["word"] == "INCONCLUSIVE"
    assert pair["tie_test"] is None
