"""Claims of the papers."""

import pytest

from kdrun import registry
from kdrun.reporting.tables.paper_claims import PaperClaim, Side, paper_claims
from kdrun.reporting.tables.published_values import TAGS
from tests.helpers.paths import ROOT


def claim(arms: str) -> PaperClaim:
    return next(claim for claim in paper_claims() if claim.arms == arms)


def test_every_paper_has_one_main_claim() -> None:
    mains = [claim.paper for claim in paper_claims() if claim.is_main]
    assert sorted(mains) == sorted({claim.paper for claim in paper_claims()})
    assert len(mains) == 4


@pytest.mark.parametrize("claim", paper_claims(), ids=lambda claim: f"{claim.arms}, {claim.rows}")
def test_methods_experiments_and_tags_exist(claim: PaperClaim) -> None:
    for side in (claim.a, claim.b):
        assert side.method in registry.entries("method")
        assert side.teacher in (None, "single", "mixed", "multi_task", "meta")
    assert (ROOT / "conf" / "experiment" / f"{claim.experiment}.yaml").is_file()
    assert claim.rows in (None, "all", "few")
    assert {*claim.tags} <= {*TAGS}
    assert claim.text.endswith(".")
    assert bool(claim.published) == bool(claim.tags), "published names rows that reference_results.csv lacks"


def test_published_differences_come_from_the_published_values() -> None:
    mate_kd = claim("mate_kd > kd")
    assert mate_kd.published_overall() == "+2.1 [check]"  # 85.94 - 83.84, means of eight tasks
    assert mate_kd.published_on("sst2") == "+1.6 [check]"  # 94.1 - 92.5
    assert mate_kd.published_on("conll2003") == "n/a"
    meta_kd = claim("meta_kd > tinybert_kd (teacher single)")
    assert meta_kd.published_overall() == "Amazon +2.7, MNLI +1.1 [check]"  # 89.45 - 86.725; 80.36 - 79.26
    assert claim("zskd > kd_ood").published_overall() == "n/a"


def test_a_side_matches_by_method_and_domains_of_the_teacher() -> None:
    arm = {
        "name": "tinybert_kd domain_strategy=single",
        "words": ["method=tinybert_kd"],
        "teacher": {"lessons": "single"},
    }
    assert Side("tinybert_kd").matches(arm)
    assert Side("tinybert_kd", "single").matches(arm)
    assert not Side("tinybert_kd", "mixed").matches(arm)
    assert not Side("tinybert_kd", "single").matches(arm | {"teacher": None})
    assert not Side("meta_kd").matches(arm)
