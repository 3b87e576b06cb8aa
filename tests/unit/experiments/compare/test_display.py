"""Printed comparisons: notes and intervals."""

from typing import Any

from kdrun.experiments.compare import display


def record(chosen_on: str | None) -> dict[str, Any]:
    pairs = [{"a": "kd", "b": "finetune", "reason": "fewer than 3 seeds"}, {"a": "zskd", "b": "kd", "reason": ""}]
    return {"pairs": pairs, "margin": 0.01, "how": "paired", "split": "test", "chosen_on": chosen_on, "rows": 80}


def test_notes_name_reasons_margin_and_the_split_that_chose() -> None:
    reason, tie, choice = display.notes(record("dev"))
    assert reason == "kd against finetune: fewer than 3 seeds"
    assert "± 1 points" in tie
    assert "dev" in choice
    assert "test (80 rows)" in choice


def test_scores_on_the_choosing_split_have_a_warning() -> None:
    assert "too high" in display.notes(record("test"))[-1]
    assert "too high" not in display.notes(record(None))[-1]


def test_intervals_have_signs() -> None:
    assert display.interval({"interval": [-0.02, 0.013]}) == "-2.0 … +1.3"
    assert display.interval({"interval": None}) == "n/a"
