"""Rules for held-out rows, a teacher's own rows and unlabeled rows."""

from __future__ import annotations

import pytest

from kdrun.config import compose

CASES = [
    (["evaluation.report=pooled"], ["evaluation.report=pooled", "evaluation.held_out"]),
    (["+task.rows.held_out=5"], ["task.rows.held_out=5", "evaluation.held_out"]),
    (["evaluation.held_out=0"], ["evaluation.held_out", "0"]),
    (["evaluation.agreement_rows=9", "task=stsb"], ["evaluation.agreement_rows=9", "task=stsb", "score"]),
    (["evaluation.agreement_rows=9", "task=conll2003", "preset=t5_writer"], ["evaluation.agreement_rows=9", "text"]),
    (["evaluation.agreement_rows=9", "task=amazon"], ["evaluation.agreement_rows=9", "domains"]),
    (["evaluation.agreement_rows=0"], ["evaluation.agreement_rows", "0"]),
    (["teacher.train_rows=some"], ["teacher.train_rows=some", "all"]),
    (["teacher.train_rows=0"], ["teacher.train_rows=0"]),
    (["teacher.train_rows=true"], ["teacher.train_rows=True"]),
    (["teacher.train_rows=10", "data.max_train_rows=20"], ["teacher.train_rows=10", "data.max_train_rows=20"]),
    (["teacher.train_rows=10", "data.train_fraction=0.1"], ["teacher.train_rows=10", "data.train_fraction"]),
    (["teacher.train_rows=all", "teacher.fine_tune=never"], ["teacher.train_rows=all", "teacher.fine_tune=never"]),
    (["teacher.train_rows=all", "task=amazon"], ["teacher.train_rows=all", "domains"]),
    (["data.unlabelled=rest"], ["data.unlabelled=rest", "data.max_train_rows"]),
    (["data.unlabelled=more.txt"], ["data.unlabelled=more.txt", "rest", "data=files"]),
    (["data.unlabelled=rest", "data.max_train_rows=9", "method=zskd"], ["data.unlabelled=rest", "method=zskd"]),
    (["data.unlabelled=rest", "data.max_train_rows=9", "task=amazon"], ["data.unlabelled=rest", "domains"]),
    (["data.max_unlabelled_rows=9"], ["data.max_unlabelled_rows=9"]),
]


@pytest.mark.parametrize(("overrides", "parts"), CASES, ids=[" ".join(case[0]) for case in CASES])
def test_problems_name_the_key_and_its_value(overrides: list[str], parts: list[str]) -> None:
    (problem,) = compose.validate_overrides(overrides, multirun=False)
    assert all(part in problem for part in parts), problem


@pytest.mark.parametrize(
    "overrides",
    [
        ["evaluation.held_out=100", "evaluation.report=pooled"],
        ["teacher.train_rows=all", "data.train_fraction=0.1"],
        ["teacher.train_rows=20", "data.max_train_rows=20"],
        ["teacher.train_rows=some", "method=finetune"],
        ["data.unlabelled=rest", "data.train_fraction=0.1", "data.max_unlabelled_rows=9"],
    ],
)
def test_settings_that_fit_have_no_problem(overrides: list[str]) -> None:
    assert compose.validate_overrides(overrides, multirun=False) == []


def test_the_task_of_a_run_has_the_split_of_held_out_rows() -> None:
    config = compose.load_config(["task=mnli", "evaluation.held_out=100"])
    assert config.task.rows == {"train": 392702, "dev": 9815, "dev_mismatched": 9832, "held_out": 100}
    assert config.task.report_split == "held_out"
    assert config.task.eval_splits_during_training == ["dev", "dev_mismatched"]
    again = compose.load_config(["task=mnli", "+task.rows.pooled=7", "evaluation.held_out=100"])
    assert again.task.rows == config.task.rows  # a saved config has the split already
    pooled = compose.load_config(["task=amazon", "evaluation.held_out=100", "evaluation.report=pooled"])
    assert (pooled.task.report_split, pooled.task.task_report_split) == ("pooled", "test")
    assert pooled.task.eval_splits_during_training == ["dev"]
