"""Claims: parsing, defaults, sentences and exit codes."""

from typing import Any

import numpy as np
import pytest

from kdrun.config import options
from kdrun.errors import ConfigError
from kdrun.experiments.compare import claims, verdicts
from kdrun.experiments.compare.arms import Arm
from kdrun.experiments.compare.claims import Claim
from kdrun.experiments.compare.options import CompareOptions
from kdrun.experiments.compare.replay import judge_once
from kdrun.experiments.compare.scores import Scores

ARMS = [Arm(name, name.split()[0], []) for name in ("finetune", "kd temperature=1", "kd temperature=4", "mate_kd")]


def plan(**values: Any) -> list[Claim]:
    return claims.plan_claims(CompareOptions(**values), ARMS)


@pytest.mark.parametrize(
    "text",
    [
        "[mate_kd>finetune,kd temperature=4>kd temperature=1]",
        "mate_kd > finetune, kd temperature=4 > kd temperature=1",
        "[mate_kd>finetune,'kd temperature=4'>\"kd temperature=1\"]",
    ],
)
def test_claims_name_arms(text: str) -> None:
    settings, rest = options.parse_options(CompareOptions, [f"claims={text}", "task=sst2"], others=True)
    assert claims.plan_claims(settings, ARMS) == [
        Claim("mate_kd", "finetune"), Claim("kd temperature=4", "kd temperature=1"),
    ]  # fmt: skip
    assert rest == ["task=sst2"]


def test_all_problems_of_claims_are_reported() -> None:
    with pytest.raises(ConfigError) as error:
        plan(claims="[mate_kd>fintune,kd>finetune,mate_kd,mate_kd>mate_kd,mate_kd>finetune,finetune>mate_kd]")
    report = str(error.value)
    assert len(error.value.problems) == 5
    for part in ("did you mean 'finetune'", "name one: kd temperature=1", "'claims=[mate_kd>kd]'", "itself", "twice"):
        assert part in report
    with pytest.raises(ConfigError, match="no claim"):
        plan(claims="[]")


def test_by_default_methods_beat_baselines_else_every_pair_is_a_claim() -> None:
    assert plan(method=["mate_kd"], baselines=["finetune"]) == [Claim("mate_kd", "finetune")]
    assert plan(method=["mate_kd", "kd"], baselines=["finetune", "kd"]) == [
        Claim("kd temperature=1", "finetune"), Claim("kd temperature=4", "finetune"), Claim("mate_kd", "finetune"),
        Claim("kd temperature=4", "kd temperature=1"), Claim("mate_kd", "kd temperature=1"),
        Claim("mate_kd", "kd temperature=4"),
    ]  # fmt: skip
    assert len(plan(method=["finetune", "kd", "mate_kd"], baselines=[])) == 6
    assert len(plan(method=[], baselines=["finetune", "kd"])) == 6


def scores(**by_arm: list[float]) -> Scores:
    values = {(arm, seed): score for arm, of_arm in by_arm.items() for seed, score in enumerate(of_arm, start=1)}
    noise = np.random.default_rng(1).normal(0, 0.002, 200)
    return Scores({**values}, {key: score + noise * len(key[0]) for key, score in values.items()})


def judged_pairs(claimed: list[Claim], **by_arm: list[float]) -> list[dict[str, Any]]:
    of_arms = scores(**by_arm)
    state = judge_once(claimed, of_arms, 0.01)
    return verdicts.judge_pairs(claimed, state, list(by_arm), of_arms, 0.01, "how")


def records(claimed: list[Claim], **by_arm: list[float]) -> list[dict[str, Any]]:
    pairs = judged_pairs(claimed, **by_arm)
    facts = {"data_name": "SST-2", "metric": "accuracy", "split": "dev", "rows": 3565}
    return [claims.claim_record(pair, facts | {"margin": 0.01}) for pair in pairs if pair["asked"]]


def test_each_claim_has_a_sentence() -> None:
    by_arm = {
        "mate_kd": [0.75, 0.754, 0.746],
        "kd": [0.70, 0.704, 0.696],
        "dkd": [0.701, 0.704, 0.696],
        "a": [0.8, 0.6],
    }
    claimed = [Claim("mate_kd", "kd"), Claim("kd", "mate_kd"), Claim("kd", "dkd"), Claim("kd", "a")]
    supported, contradicted, tie, undecided = records(claimed, **by_arm)
    assert supported["outcome"] == "supported"
    start = "mate_kd beats kd on SST-2: +5.0 points ["
    assert supported["text"].startswith(start)
    end = "accuracy on 3\N{NARROW NO-BREAK SPACE}565 dev rows, 3 seeds: the claim is supported."
    assert supported["text"].endswith(end)
    assert contradicted["text"].startswith("kd loses to mate_kd on SST-2: \N{MINUS SIGN}5.0 points")
    assert contradicted["outcome"] == tie["outcome"] == "contradicted"
    assert "within ± 1 points, so the claim is contradicted." in tie["text"]
    assert undecided["outcome"] == "undecided"
    assert "the claim is undecided (fewer than 3 seeds" in undecided["text"]


def test_a_claim_without_common_seeds_is_undecided() -> None:
    (claim,) = records([Claim("kd", "a")], kd=[0.5], a=[])
    assert claim["text"].endswith("0 seeds: the claim is undecided (no seed was finished by both).")


def test_pairs_that_are_not_claims_come_last_without_correction() -> None:
    by_arm = {"a": [0.5, 0.52, 0.54], "b": [0.5, 0.51, 0.55], "c": [0.6, 0.61, 0.62]}
    pairs = judged_pairs([Claim("c", "a"), Claim("c", "b")], **by_arm)
    assert [(pair["a"], pair["b"], pair["asked"]) for pair in pairs] == [
        ("c", "a", True), ("c", "b", True), ("b", "a", False),
    ]  # fmt: skip
    assert [pair["confidence"] for pair in pairs] == [0.975, 0.975, 0.95]


@pytest.mark.parametrize(
    ("outcomes", "failed", "code"),
    [
        (["supported", "supported"], {}, 0),
        (["supported", "undecided"], {}, 4),
        (["undecided", "contradicted"], {}, 3),
        (["contradicted"], {"1": "TrainingError"}, 1),
    ],
)
def test_the_exit_code_tells_the_worst_outcome(outcomes: list[str], failed: dict[str, str], code: int) -> None:
    record = {"arms": [{"failed": failed}], "claims": [{"outcome": outcome} for outcome in outcomes]}
    assert claims.exit_code(record, CompareOptions(claims="a>b")) == code
    assert claims.exit_code(record, CompareOptions()) == bool(failed)
