"""Comparisons as tables."""

from collections.abc import Callable
from typing import Any

from kdrun.reporting.tables import comparisons
from kdrun.reporting.tables.render import TextTable

Make = Callable[..., dict[str, Any]]


def rows(sheet: TextTable) -> list[dict[str, str]]:
    return [dict(zip(sheet.columns, row, strict=True)) for row in sheet.rows]


def test_one_row_per_pair(make_comparison: Make) -> None:
    sheet = comparisons.verdict_table([make_comparison()], [], 1)
    (row,) = rows(sheet)
    assert row == {
        "task": "sst2 (synthetic)", "metric": "accuracy", "student": "small", "seeds": "1, 2", "teacher": "big 90.0",
        "majority baseline": "50.0",
        "settings": "preset=smoke optim.epochs=3", "a": "kd 82.0 ± 1.4", "b": "finetune 80.0 ± 1.4",
        "a − b": "+2.0 [-1.0, +5.0]", "verdict": "INCONCLUSIVE (about 9 seeds would decide)",
    }  # fmt: skip
    assert any("Synthetic data" in note and "sst2 (synthetic)" in note for note in sheet.notes)
    assert any("chosen on dev, the split reported" in note for note in sheet.notes)
    assert any("95 % interval, paired t; a tie is within ± 1 points" in note for note in sheet.notes)
    assert any("kd − finetune: needs about 9 seeds" in note for note in sheet.notes)
    test_notes = comparisons.verdict_table([make_comparison(split="test")], [], 1).notes
    assert any("chosen on dev, test reported." in note for note in test_notes)
    (record,) = sheet.records
    assert [record[key] for key in ("a_mean", "difference", "low", "high", "word")] == [
        82.0,
        2.0,
        -1.0,
        5.0,
        "INCONCLUSIVE",
    ]


def test_tables_name_the_tuning_of_the_arms(make_comparison: Make) -> None:
    tuning = {
        "search": "tune-kd", "trials": 8, "states": "8 finished", "seed": 0, "split": "dev", "metric": "accuracy",
        "space": {}, "fixed": [], "chosen": {"optim.lr": "0.001"}, "trial": 3, "default": 0.7, "best": 0.75,
    }  # fmt: skip
    untuned, tuned = make_comparison(), make_comparison(comparison_id="c2", tuned=8, split="test")
    for arm in tuned["arms"]:
        arm["tuning"] = tuning
    searched = make_comparison(comparison_id="c3", search={"trials": 8})
    for records, ending in (
        ([untuned], "seeds, untuned"),
        ([tuned, searched], "seeds"),
        ([untuned, tuned], "seeds, untuned unless the settings name trials"),
    ):
        sheet = comparisons.verdict_table(records, [], 1)
        assert sheet.title.endswith(ending)
    first, second = rows(sheet)
    assert "tuned" not in first["settings"]
    assert second["settings"].endswith(", tuned, 8 trials each")
    assert [record["tuned"] for record in sheet.records] == [0, 8]
    assert any("kd: optim.lr=0.001 (trial 3; dev 75.0 %, default 70.0 %; 8 finished)" in note for note in sheet.notes)


def test_one_row_per_arm(make_comparison: Make) -> None:
    record = make_comparison()
    record["arms"][0] |= {"scores": {"1": 0.79}, "mean": 0.79, "sd": None, "failed": {"2": "OSError: full\nat x"}}
    sheet = comparisons.arm_table([record], [], 2)
    finetune, kd = rows(sheet)
    assert (finetune["arm"], finetune["mean ± sd (n)"], finetune["each seed"]) == (
        "finetune",
        "79.00 (1)",
        "79.00, failed",
    )
    assert finetune["retention"] == "n/a"
    assert (kd["retention"], kd["training time per run"]) == ("91.10 %", "2.5 min")
    assert kd["steps"] == "student 40, generator 4"
    assert sheet.notes[-1] == "sst2 (synthetic), finetune, seed 2 failed: OSError: full"


def test_missing_values_are_not_invented(make_comparison: Make) -> None:
    record = make_comparison(teacher=None, guess=None, chosen_on=None, synthetic=False, data_name="SST-2")
    absent = {"difference": None, "interval": None, "seeds_needed": None, "seeds": 0, "reason": "no seed was finished"}
    record["pairs"] = [record["pairs"][0] | absent]
    record["arms"][1] |= {"scores": {"1": None}, "mean": None, "sd": None, "kept": None, "seconds": None, "steps": {}}
    (row,) = rows(comparisons.verdict_table([record], [], 1))
    assert (row["majority baseline"], row["teacher"], row["a"], row["a − b"], row["verdict"]) == (
        "n/a",
        "none",
        "kd n/a",
        "n/a",
        "INCONCLUSIVE",
    )
    kd = rows(comparisons.arm_table([record], [], 1))[1]
    assert [kd[key] for key in ("mean ± sd (n)", "each seed", "training time per run", "steps")] == [
        "n/a",
        "n/a, n/a",
        "n/a",
        "n/a",
    ]


def test_methods_select_rows_and_several_code_versions_are_reported(make_comparison: Make) -> None:
    records = [make_comparison(), make_comparison(comparison_id="c2", code="other", task="rte")]
    assert [row["arm"] for row in rows(comparisons.arm_table(records, ["kd"], 1))] == ["kd", "kd"]
    assert comparisons.verdict_table(records, ["mate_kd"], 1).rows == []
    assert any(": c0de, other." in note for note in comparisons.verdict_table(records, [], 1).notes)
