"""Rules for a task: text, answers, metrics and splits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kdrun.config import compose
from kdrun.config.task import TaskConfig, TaskKind
from kdrun.config.validation.task import fitting_metrics, task_problems

TWO = TaskConfig(
    name="two",
    text=["text"],
    labels=["no", "yes"],
    metrics=["accuracy", "f1"],
    headline="f1",
    rows={"train": 4, "dev": 2},
)
FOUR = replace(TWO, name="four", labels=["a", "b", "c", "d"], metrics=["macro_f1"], headline="macro_f1")
SCORE = replace(TWO, name="score", labels=[], range=[0, 5], metrics=["pearson"], headline="pearson")
SETS = replace(FOUR, name="sets", kind=TaskKind.multi_label, metrics=["exact_match"], headline="exact_match")
ENTITIES = replace(TWO, name="names", labels=[], entities=["person"], metrics=["entity_f1"], headline="entity_f1")


@pytest.mark.parametrize("name", [name for name in compose.choices("task") if name != "own"])
def test_every_task_of_the_config_tree_is_sound(name: str) -> None:
    composed: Any = compose.to_config(compose.compose([f"task={name}"]))
    assert list(task_problems(composed.task)) == []


@pytest.mark.parametrize("task", [TWO, FOUR, SETS, SCORE, ENTITIES], ids=lambda task: task.name)
def test_sound_tasks_of_every_type(task: TaskConfig) -> None:
    assert list(task_problems(task)) == []


def test_metrics_that_fit_an_answer() -> None:
    assert fitting_metrics(TWO) == [
        "accuracy",
        "average_precision",
        "f1",
        "macro_f1",
        "mcc",
        "micro_f1",
        "roc_auc",
        "weighted_f1",
    ]
    assert fitting_metrics(FOUR) == [
        "accuracy",
        "average_precision",
        "macro_f1",
        "mcc",
        "micro_f1",
        "roc_auc",
        "weighted_f1",
    ]
    assert fitting_metrics(SCORE) == ["pearson", "spearman"]
    assert fitting_metrics(SETS) == [
        "average_precision",
        "exact_match",
        "macro_f1",
        "micro_f1",
        "roc_auc",
        "weighted_f1",
    ]
    assert fitting_metrics(ENTITIES) == ["entity_f1", "entity_precision", "entity_recall"]


@pytest.mark.parametrize(
    ("task", "changes", "field"),
    [
        (FOUR, {"metrics": ["f1"], "headline": "f1"}, "metrics"),
        (TWO, {"metrics": ["acuracy"], "headline": "acuracy"}, "metrics"),
        (TWO, {"metrics": ["pearson"], "headline": "pearson"}, "metrics"),
        (SCORE, {"metrics": ["accuracy"], "headline": "accuracy"}, "metrics"),
        (ENTITIES, {"metrics": ["f1"], "headline": "f1"}, "metrics"),
        (TWO, {"metrics": ["accuracy", "accuracy"], "headline": "accuracy"}, "metrics"),
        (TWO, {"metrics": [], "headline": "f1"}, "metrics"),
        (TWO, {"headline": "evil"}, "headline"),
        (TWO, {"labels": ["a", "A"]}, "labels"),
        (TWO, {"labels": ["a"], "metrics": ["accuracy"], "headline": "accuracy"}, "labels"),
        (TWO, {"range": [0, 1]}, "labels"),
        (TWO, {"labels": [], "metrics": ["pearson"], "headline": "pearson"}, "labels"),
        (SETS, {"metrics": ["accuracy"], "headline": "accuracy"}, "metrics"),
        (TWO, {"metrics": ["exact_match"], "headline": "exact_match"}, "metrics"),
        (SETS, {"domains": ["a", "b"]}, "domains"),
        (TWO, {"hub": {"repo": "a/b", "lable": "x"}}, "hub"),
        (TWO, {"hub": {"subset": "x"}}, "hub"),
        (TWO, {"hub": {"repo": "a/b", "splits": {"tset": "test"}}}, "hub"),
        (TWO, {"kind": TaskKind.score}, "kind"),
        (SCORE, {"kind": TaskKind.multi_label}, "kind"),
        (ENTITIES, {"kind": TaskKind.classes}, "kind"),
        (SCORE, {"range": [5, 0]}, "range"),
        (SCORE, {"range": [1]}, "range"),
        (TWO, {"rows": {}}, "rows"),
        (TWO, {"rows": {"train": 4}}, "rows"),
        (TWO, {"rows": {"train": 4, "dev": 0}}, "rows"),
        (TWO, {"reported": "tset"}, "reported"),
        (TWO, {"text": []}, "text"),
        (TWO, {"text": ["a", "a"]}, "text"),
        (TWO, {"prompts": ["a", "b"]}, "prompts"),
        (TWO, {"label_words": ["yes"]}, "label_words"),
        (TWO, {"label_words": ["yes", "yes"]}, "label_words"),
        (SCORE, {"label_words": ["1.0", "low"]}, "label_words"),
        (TWO, {"domains": ["a", "a"]}, "domains"),
    ],
    ids=str,
)
def test_a_fault_of_a_task_names_its_key(task: TaskConfig, changes: dict[str, Any], field: str) -> None:
    (problem,) = task_problems(replace(task, **changes))
    assert problem.key == f"task.{field}"
    assert f"task={task.name}" in problem
    assert f"task.{field}" in problem


def test_the_command_line_refuses_a_metric_before_anything_loads() -> None:
    words = ["task=mnli", "task.metrics=[f1]", "task.headline=f1"]
    (problem,) = compose.validate_overrides(words, multirun=False)
    assert problem.key == "task.metrics"
    assert "macro_f1" in problem


def test_faults_of_a_protocol_by_domain_are_reported_with_the_others() -> None:
    words = ["method=meta_kd", "method.domain=fiction", "task=mnli", "task.by_domain.files=null"]
    assert [problem.key for problem in compose.validate_overrides(words, multirun=False)] == ["task.by_domain.files"]
