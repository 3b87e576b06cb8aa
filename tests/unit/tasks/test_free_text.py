"""Free text: scores, the baseline, records and the problems of a config."""

from typing import Any

import numpy as np
import pytest

from kdrun.config import compose
from kdrun.config.task import TaskConfig, TaskKind
from kdrun.config.validation.task import task_problems
from kdrun.experiments.compare.resampling import resample
from kdrun.tasks.evaluator import prediction_rows
from kdrun.tasks.free_text import FreeTextTask
from kdrun.tasks.task_types import task_type_of
from kdrun.tasks.text_answers import GeneratedAnswer

TASK = TaskConfig(
    name="own", text=["question"], kind=TaskKind.text, prompts=["q:"], metrics=["rouge_l", "exact_match"],
    headline="rouge_l", rows={"train": 9, "dev": 3}, answer_tokens=5,
)  # fmt: skip
GOLD = np.array(["by train", "by bus", "By Bus"], dtype=object)
OUTPUTS = np.array(
    [GeneratedAnswer("by train", True), GeneratedAnswer("by car", True), GeneratedAnswer("bybus", False)], dtype=object
)


def test_the_kind_makes_a_task_of_free_text() -> None:
    task_type = task_type_of(TASK)
    assert isinstance(task_type, FreeTextTask)
    assert (TASK.is_text, TASK.is_regression, TASK.is_extraction, TASK.classes) == (True, False, False, [])
    assert list(task_problems(TASK)) == []


def test_scores_and_the_baseline_by_hand() -> None:
    task_type = FreeTextTask(TASK)
    # equal; one of two words; equal without blanks, and no common word
    assert task_type.score(OUTPUTS, GOLD, None) == {"rouge_l": 0.5, "exact_match": 2 / 3}
    # "By Bus" is the first of three equally frequent answers
    assert task_type.majority_baseline(GOLD, None) == {"rouge_l": (0.5 + 1 + 1) / 3, "exact_match": 2 / 3}


@pytest.mark.parametrize("metric", ["rouge_l", "exact_match"])
def test_resamples_score_as_the_metric_does(metric: str) -> None:
    predictions = np.array([[answer.text for answer in OUTPUTS]], dtype=object)
    values = resample(metric, GOLD, predictions, resamples=2000)[:, 0]
    assert values.mean() == pytest.approx(FreeTextTask(TASK).score(OUTPUTS, GOLD, None)[metric], abs=0.03)
    assert set(np.round(values * 6).tolist()) <= set(range(7))


def test_prediction_rows() -> None:
    columns = {"text": ["how?"], "label": ["by train"]}
    (row,) = prediction_rows(TASK, "dev", columns, OUTPUTS[:1], OUTPUTS[2:])
    assert row == {
        "id": 0, "split": "dev", "text": "how?", "gold": "by train", "prediction": "by train", "cut": False,
        "teacher_prediction": "bybus", "teacher_cut": True,
    }  # fmt: skip
    assert FreeTextTask(TASK).notes_on(OUTPUTS, ["a", "b", "c"]) == [
        "1 of 3 answers did not end within task.answer_tokens=5 and were truncated"
    ]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"labels": ["a", "b"]}, "task.labels=[a, b] has no effect with task.kind=text"),
        ({"metrics": ["accuracy"], "headline": "accuracy"}, "accuracy, a metric of classes, and the task has texts"),
    ],
)
def test_problems_of_a_task(changes: dict[str, Any], text: str) -> None:
    assert any(text in problem for problem in task_problems(TaskConfig(**vars(TASK) | changes)))


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("method=dfkd_t3", "task.kind=text), which has none; take method=kd, gkd or kd_ood"),
        ("method=pkd", "method=pkd works with a class or a score, and task=passive"),
        ("student=smoke", "student.architecture=bert: an encoder generates no text"),
        ("data=hub", "data=hub reads classes, scores and entities, and task=passive"),
        ("evaluation.agreement_rows=5", "evaluation.agreement_rows=5: task=passive is answered with text"),
    ],
)
def test_problems_of_a_run(override: str, text: str) -> None:
    overrides = ["task=passive", "preset=t5_writer", override]
    assert any(text in problem for problem in compose.validate_overrides(overrides, multirun=False))
