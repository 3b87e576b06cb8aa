"""Sentences on the search behind an arm of a comparison."""

from typing import Any

from kdrun.reporting.tables.searches import search_notes


def comparison(split: str, unseen: list[dict[str, Any]]) -> dict[str, Any]:
    search = {
        "name": "mine", "trials": 20, "states": "13 finished, 7 pruned", "seed": 1, "split": "dev",
        "metric": "accuracy",
        "values": {"optim.lr": "0.001"}, "unseen": unseen,
    }  # fmt: skip
    return {"split": split, "search": search, "arms": [{"name": "default"}, {"name": "tuned (20 trials)"}]}


def test_the_notes_name_the_number_of_trials_and_say_that_the_rows_are_the_same() -> None:
    notes = search_notes(comparison("dev", []))
    assert "the best of 20 trials (13 finished, 7 pruned) by dev accuracy" in notes[0]
    assert "the same dev rows" in notes[1]
    assert len(notes) == 2


def test_the_notes_say_that_the_rows_are_unseen_and_list_further_splits() -> None:
    scores = {"default": {"mean": 0.5, "sd": 0.01}, "tuned (20 trials)": {"mean": None, "sd": None}}
    notes = search_notes(comparison("test", [{"split": "test", "scores": scores}, {"split": "hans", "scores": scores}]))
    assert "did not see the test rows" in notes[1]
    assert notes[2:] == [
        "hans accuracy, rows that the search did not choose by: default 50.0 ± 1.0 % and tuned (20 trials) n/a"
    ]


def test_other_comparisons_have_no_notes() -> None:
    assert search_notes({"split": "dev", "arms": []}) == []
