"""Cards of tasks and metrics."""

import pytest

from kdrun.cli.explain import task_card
from kdrun.cli.explain.cards import Card
from kdrun.config.task import TaskConfig, TaskKind


def entries(card: Card) -> dict[str, list[str]]:
    return {key: list(lines) for block in card.blocks for key, lines in block.entries}


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (TaskConfig(name="a", labels=["no", "yes"]), "one of no (0), yes (1)"),
        (TaskConfig(name="a", labels=["x", "y"], kind=TaskKind.multi_label), "any of x (0), y (1)"),
        (TaskConfig(name="a", range=[0.0, 5.0]), "a score from 0 to 5"),
    ],
)
def test_answers_of_a_task(task: TaskConfig, expected: str) -> None:
    assert task_card._predicts(task) == expected


def test_long_lists_of_classes_are_cut() -> None:
    labels = [f"c{i}" for i in range(20)]
    text = task_card._predicts(TaskConfig(name="a", labels=labels))
    assert text.endswith("c11 (11), … (20 classes)")


def test_splits_name_the_one_that_chooses_and_the_one_that_is_reported() -> None:
    same, other = (TaskConfig(name="a", rows={"train": 9, "dev": 3} | more) for more in ({}, {"test": 4}))
    assert task_card._rows(same) == "train 9, dev 3"
    assert task_card._rows(other).startswith("train 9, dev 3, test 4")
    assert ("chooses" in task_card._rows(other)) == (other.report_split != other.dev_splits[0])


def test_a_card_has_texts_metrics_and_an_example() -> None:
    facts = entries(task_card.task_card("mrpc"))
    assert facts["metrics"][0].startswith("f1 (headline), accuracy")
    assert {"predicts", "official rows", "label"} <= facts.keys()


def test_own_rows_name_the_columns_that_are_found() -> None:
    facts = entries(task_card.task_card("own"))
    assert "text" in facts["task.text"][0]
    assert any("micro_f1" in line for line in facts["task.metrics"])


def test_a_metric_names_the_tasks_that_report_it() -> None:
    facts = entries(task_card.metric_card("mcc"))
    assert "cola" in facts["tasks"][0]
