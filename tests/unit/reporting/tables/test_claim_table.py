"""Claims of the papers against comparisons."""

from collections.abc import Callable
from typing import Any

import pytest

from kdrun.reporting.tables import claim_table, claims
from kdrun.reporting.tables.claim_findings import find, training_rows
from kdrun.reporting.tables.claim_projection import project
from kdrun.reporting.tables.paper_claims import paper_claims

Make = Callable[..., dict[str, Any]]
MATE_KD, TRAINED = paper_claims()[:2]
Cells = dict[str, str]
Interval = tuple[float, float] | None


@pytest.fixture
def make(make_comparison: Make) -> Make:
    """A comparison of kd, kd_augment and mate_kd on SST-2, as older versions wrote it; `keys` replace the defaults."""

    def build(difference: float = 0.03, interval: Interval = (0.017, 0.044), **keys: Any) -> dict[str, Any]:
        arm = make_comparison()["arms"][0]
        means = {"kd": 0.68, "kd_augment": 0.70, "mate_kd": 0.68 + difference}
        arms = [
            arm
            | {"name": name, "words": [f"method={name}"], "mean": mean}
            | {"scores": {"1": mean - 0.01, "2": mean, "3": mean + 0.01}}
            for name, mean in means.items()
        ]
        word = "INCONCLUSIVE" if interval is None or interval[0] < 0 < interval[1] else "BEATS"
        pair = {"a": "mate_kd", "seeds": 3, "seeds_needed": None, "how": "paired t", "reason": ""}
        pairs = [
            pair | {"b": "kd", "difference": difference, "interval": interval and list(interval), "word": word},
            pair | {"b": "kd_augment", "difference": 0.01, "interval": [-0.01, 0.03], "word": "INCONCLUSIVE"},
        ]
        record = make_comparison(arms=arms, pairs=pairs, synthetic=False, data_name="SST-2", rows=2693, seeds=[1, 2, 3])
        record["command"] = "kdrun compare method=kd_augment,mate_kd task=sst2"
        return record | keys

    return build


def plain(text: str) -> str:
    return text.replace(claim_table.NBSP, " ")


def cells(records: list[dict[str, Any]], claim: str) -> list[Cells]:
    """The rows of a claim; only the first one has its text."""
    table = claim_table.make_table(records, [], 1)
    rows = [dict(zip(table.columns, [plain(cell) for cell in row], strict=True)) for row in table.rows]
    start = next(i for i, row in enumerate(rows) if f"`{claim}`" in row["claim"])
    end = next((i for i, row in enumerate(rows) if i > start and row["claim"]), len(rows))
    return rows[start:end]


def test_a_claim_has_its_setting_difference_verdict_and_command(make: Make) -> None:
    (row,) = cells([make()], "mate_kd > kd")
    assert row["claim"].startswith("MATE-KD: ")
    assert row["published"] == "+2.1 [check]"
    assert row["here"] == "SST-2 accuracy, 2\N{NARROW NO-BREAK SPACE}693 rows, 3 seeds"
    assert (row["a − b"], row["verdict"]) == ("+3.0 [+1.7, +4.4]", "supported")
    notes = claim_table.make_table([make()], [], 1).notes
    assert f"{row['command']} `kdrun compare method=kd_augment,mate_kd task=TASK`" in notes
    assert any("MATE-KD, RoBERTa-large to DistilRoBERTa, mean of 8 GLUE tasks" in note for note in notes)
    (not_run,) = cells([make()], "zskd > kd_ood")
    assert (not_run["here"], not_run["a − b"], not_run["verdict"]) == ("not run", "n/a", "not run")
    command = next(claim.command for claim in paper_claims() if claim.arms == "zskd > kd_ood")
    assert command.startswith("kdrun compare experiment=mini_no_rows method=zskd baselines=kd_ood task=sst2 ")
    assert f"{not_run['command']} `{command}`" in notes


def test_a_pair_in_the_other_direction_is_reversed(make: Make) -> None:
    record = make()
    pair = record["pairs"][0] | {"a": "kd", "b": "mate_kd", "word": "LOSES", "difference": -0.03}
    record["pairs"] = [pair | {"interval": [-0.044, -0.017]}]
    (row,) = cells([record], "mate_kd > kd")
    assert (row["a − b"], row["verdict"]) == ("+3.0 [+1.7, +4.4]", "supported")
    assert claims.oriented_pair(record, "kd", "mate_kd") == record["pairs"][0]
    assert claims.oriented_pair(record, "kd", "kd_augment") is None


@pytest.mark.parametrize(
    ("word", "interval", "verdict"),
    [
        ("LOSES", [-0.04, -0.02], "contradicted"),
        ("TIES", [-0.004, 0.006], "contradicted (a tie, ± 1 points)"),
    ],
)
def test_losing_and_tying_contradict(make: Make, word: str, interval: list[float], verdict: str) -> None:
    record = make()
    record["pairs"][0] |= {"word": word, "interval": interval}
    assert cells([record], "mate_kd > kd")[0]["verdict"] == verdict


def test_only_pairs_that_were_asked_about_are_decided(make: Make) -> None:
    asked = {"a": "mate_kd", "b": "kd_augment", "outcome": "undecided", "text": "…"}
    record = make(claims=[asked])
    assert cells([record], "mate_kd > kd")[0]["verdict"] == "undecided (not asked)"
    record["claims"] = [{"a": "mate_kd", "b": "kd", "outcome": "supported", "text": "…"}]
    record["pairs"][0]["confidence"] = 0.975
    (row,) = cells([record], "mate_kd > kd")
    assert (row["verdict"], row["a − b"]) == ("supported", "+3.0 [+1.7, +4.4] at 97.5 %")


def test_the_latest_comparison_of_a_setting_counts(make: Make) -> None:
    old, new = make(started=1.0), make(0.02, (-0.01, 0.05), started=2.0)
    few = make(started=3.0, config={"data": {"max_train_rows": 1000}})
    assert [finding.record for finding in find(MATE_KD, [new, old])] == [new]
    assert [finding.record["started"] for finding in find(MATE_KD, [old, new, few])] == [3.0, 2.0]
    here = [row["here"] for row in cells([old, new, few], "mate_kd > kd")]
    assert ["trained on 1\N{NARROW NO-BREAK SPACE}000 of the rows" in text for text in here] == [True, False]


def test_better_evidence_counts_before_later_evidence(make: Make) -> None:
    decided = make(started=1.0)
    one_seed = make(interval=None, started=2.0)
    not_asked = make(started=3.0, claims=[])
    unlearned = make(started=4.0, guess=0.75)
    for other in (one_seed, not_asked, unlearned):
        assert [finding.record for finding in find(MATE_KD, [decided, other])] == [decided]


def test_comparisons_that_can_say_nothing_are_named_and_left_out(make: Make) -> None:
    unlearned = make(guess=0.75, data_name="RTE")
    single = make(interval=None, data_name="CoLA")
    table = claim_table.make_table([unlearned, single, make(synthetic=True)], [], 1)
    assert not [row for row in table.rows if "RTE" in row[2] or ("CoLA" in row[2] and "kd_augment" not in row[0])]
    notes = " ".join(table.notes)
    assert (
        "2 pairs on RTE (no arm is above the majority baseline by more than a tie); 1 pair on CoLA (one seed" in notes
    )
    assert "; 1 comparison on synthetic data." in notes


def test_an_arm_at_the_majority_baseline_is_named(make: Make) -> None:
    (row,) = cells([make(guess=0.675)], "mate_kd > kd")
    assert row["verdict"] == "supported (kd at majority baseline)"


def test_undecided_claims_have_a_projection(make: Make) -> None:
    record = make(0.009, (-0.004, 0.022))
    record["pairs"][0]["seeds_needed"] = 9
    (row,) = cells([record], "mate_kd > kd")
    assert row["verdict"] == "undecided (9 seeds, 0.8 h)"  # 9 · (150 s + 150 s)
    record["pairs"][0]["seeds_needed"] = None
    for arm in record["arms"]:
        arm["scores"] = {"1": arm["mean"], "2": arm["mean"] + 0.001 * (arm["name"] == "kd"), "3": arm["mean"]}
    projection = project(record, record["pairs"][0])
    assert projection is not None
    # nearly all of the variance is from the rows: half width 1.96 · σ_e/√R, target 0.009 / 2.8 with half of its square
    assert projection.rows == pytest.approx(2693 * (0.013 / 1.96) ** 2 / ((0.009 / 2.8) ** 2 / 2), rel=0.02)
    assert projection.seeds == 3
    assert "rows, 3 seeds, 0.2 h)" in cells([record], "mate_kd > kd")[0]["verdict"]
    record["pairs"][0]["variance"] = {"examples": 0.01**2, "seeds": 0.02**2}
    projection = project(record, record["pairs"][0])
    assert projection is not None
    assert projection.rows == pytest.approx(2693 * 0.01**2 / ((0.009 / 2.8) ** 2 / 2), rel=0.01)
    assert projection.seeds == pytest.approx(0.02**2 / ((0.009 / 2.8) ** 2 / 2), abs=1)
    record["rows"] = None
    assert project(record, record["pairs"][0]) is None


def test_a_projection_decides_a_tie_where_that_is_nearer(make: Make) -> None:
    record = make(0.0001, (-0.011, 0.011), margin=0.01)
    projection = project(record, record["pairs"][0])
    assert projection is not None
    assert projection.rows < 40_000
    record["margin"] = 0.0
    far = project(record, record["pairs"][0])
    assert far is not None
    assert far.rows > 10**6
    assert "no reachable number" in cells([record], "mate_kd > kd")[0]["verdict"]


def test_training_rows() -> None:
    configs: list[Any] = [None, {"data": {}}, {"data": {"train_fraction": 0.01}}, {"data": {"max_train_rows": 4000}}]
    assert [training_rows({"config": config}) for config in configs] == [
        "all",
        "all",
        "1 %",
        "4\N{NARROW NO-BREAK SPACE}000",
    ]


def test_arms_of_a_swept_setting_have_their_own_rows(make: Make) -> None:
    record = make()
    best = record["arms"][2]
    record["arms"].append(best | {"name": "mate_kd mask_rate=0.4", "words": ["method=mate_kd", "method.mask_rate=0.4"]})
    record["pairs"].append(record["pairs"][0] | {"a": "mate_kd mask_rate=0.4"})
    plain, swept = cells([record], "mate_kd > kd")
    assert plain["here"].endswith("3 seeds")
    assert swept["here"].endswith("3 seeds, mate_kd mask_rate=0.4")


def test_the_short_table_counts_settings_by_verdict(make: Make) -> None:
    records = [make(), make(0.01, (-0.01, 0.03), data_name="CoLA"), make(guess=0.75, data_name="RTE")]
    table = claim_table.make_short_table(records, [])
    rows = {row[0]: row for row in table.rows}
    assert list(rows) == ["MATE-KD", "ZSKD", "DFKD-T3", "Meta-KD"]
    assert rows["MATE-KD"][2:] == ["+2.1 [check]", "supported in 1, undecided in 1 of 2 settings"]
    assert rows["ZSKD"][2:] == ["n/a", "not run"]
    assert table.notes == []


def test_csv_lines_and_methods(make: Make) -> None:
    table = claim_table.make_table([make()], ["mate_kd"], 1)
    assert {record["paper"] for record in table.records} == {"MATE-KD"}
    first = table.records[0]
    expected = {"claim": "mate_kd > kd", "difference": 3.0, "low": 1.7, "high": 4.4, "verdict": "supported"}
    expected |= {"trained_on": "all", "published_on_task": "+1.6 [check]"}
    assert {key: first[key] for key in expected} == expected
    assert table.records[-1]["verdict"] == "not run"  # kd_freelb
