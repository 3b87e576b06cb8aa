"""Comparisons as tables."""

from collections.abc import Callable
from typing import Any

from kdrun.reporting.tables import comparisons
from kdrun.reporting.tables.render import TextTable

Make = Callable[..., dict[str, Any]]


def rows(sheet: TextTable) -> list[dict[str, str]]:
    return [dict(zip(sheet.columns, row, strict=True)) for row in sheet.rows]


def test_a_row_a_pair(make_comparison: Make) -> None:
    sheet = comparisons.verdicts([make_comparison()], [], 1)
    (row,) = rows(sheet)
    assert row == {
        "task": "sst2 (synthetic)", "metric": "accuracy", "student": "small", "seeds": "1, 2", "teacher": "big 90.0",
        "guess": "50.0",
        "settings": "preset=smoke optim.epochs=3", "a": "kd 82.0 ± 1.4", "b": "finetune 80.0 ± 1.4",
        "a − b": "+2.0 [-1.0, +5.0]", "verdict": "INCONCLUSIVE (about 9 seeds would tell)",
    }  # fmt: skip
    assert any("No number of it is a GLUE score" in note for note in sheet.notes)
    assert any("chosen on dev, the split reported" in note for note in sheet.notes)
    assert any("95 % interval, paired t; a tie lies within ± 1 points" in note for note in sheet.notes)
    assert any("kd − finetune: needs about 9 seeds" in note for note in sheet.notes)
    apart = comparisons.verdicts([make_comparison(split="test")], [], 1).notes
    assert any("chosen on dev, test reported." in note for note in apart)
    (record,) = sheet.records
    assert [record[key] for key in ("a_mean", "difference", "low", "high", "word")] == [
        82.0,
        2.0,
        -1.0,
        5.0,
        "INCONCLUSIVE",
    ]


def test_a_row_an_arm(make_comparison: Make) -> None:
    one = make_comparison()
    one["arms"][0] |= {"scores": {"1": 0.79}, "mean": 0.79, "sd": None, "failed": {"2": "OSError: full\nat x"}}
    sheet = comparisons.arms([one], [], 2)
    plain, taught = rows(sheet)
    assert (plain["arm"], plain["mean ± sd (n)"], plain["each seed"]) == ("finetune", "79.00 (1)", "79.00, failed")
    assert plain["kept"] == "n/a"
    assert (taught["kept"], taught["training a run"]) == ("91.10 %", "2.5 min")
    assert taught["steps"] == "student 40, generator 4"
    assert sheet.notes[-1] == "sst2 (synthetic), finetune, seed 2 failed: OSError: full"


def test_what_is_not_there_is_not_invented(make_comparison: Make) -> None:
    one = make_comparison(teacher=None, guess=None, chosen_on=None, synthetic=False, data_name="SST-2")
    nothing = {"difference": None, "interval": None, "seeds_needed": None, "seeds": 0, "reason": "no seed was finished"}
    one["pairs"] = [one["pairs"][0] | nothing]
    one["arms"][1] |= {"scores": {"1": None}, "mean": None, "sd": None, "kept": None, "seconds": None, "steps": {}}
    (row,) = rows(comparisons.verdicts([one], [], 1))
    assert (row["guess"], row["teacher"], row["a"], row["a − b"], row["verdict"]) == (
        "n/a",
        "none",
        "kd n/a",
        "n/a",
        "INCONCLUSIVE",
    )
    taught = rows(comparisons.arms([one], [], 1))[1]
    assert [taught[key] for key in ("mean ± sd (n)", "each seed", "training a run", "steps")] == [
        "n/a",
        "n/a, n/a",
        "n/a",
        "n/a",
    ]


def test_methods_choose_rows_and_several_codes_are_said(make_comparison: Make) -> None:
    found = [make_comparison(), make_comparison(comparison_id="c2", code="other", task="rte")]
    assert [row["arm"] for row in rows(comparisons.arms(found, ["kd"], 1))] == ["kd", "kd"]
    assert comparisons.verdicts(found, ["mate_kd"], 1).rows == []
    assert any(
        "Not all by one version of the code: c0de, other" in note for note in comparisons.verdicts(found, [], 1).notes
    )
