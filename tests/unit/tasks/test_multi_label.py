"""Multi-label tasks: decisions, records, metrics and the model's config."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from kdrun.config.task import TaskConfig, TaskKind
from kdrun.tasks.class_views import ClassView
from kdrun.tasks.multi_label import MultiLabelTask
from kdrun.tasks.task_types import task_type_of

TASK = TaskConfig(
    name="topics",
    labels=["art", "law", "war"],
    kind=TaskKind.multi_label,
    metrics=["micro_f1", "exact_match", "roc_auc"],
    headline="micro_f1",
)
TYPE = task_type_of(TASK)
LOGITS = np.array([[2.0, -2.0, 0.0], [0.1, 3.0, -1000.0]], np.float32)


def test_the_kind_of_the_task_chooses_the_type() -> None:
    assert isinstance(TYPE, MultiLabelTask)
    assert not isinstance(task_type_of(replace(TASK, kind=None)), MultiLabelTask)


def test_a_class_is_predicted_above_one_half() -> None:
    first, second = TYPE.prediction_records(LOGITS, ["a", "b"])
    assert first["prediction"] == ["art"]
    assert first["probabilities"] == {"art": 0.880797, "law": 0.119203, "war": 0.5}
    assert second == {"prediction": ["art", "law"], "probabilities": {"art": 0.524979, "law": 0.952574, "war": 0.0}}
    assert TYPE.label_name(np.array([0, 1, 1], np.int8)) == ["law", "war"]
    assert TYPE.label_value(["war", "law"]) == [0, 1, 1]


def test_metrics_of_label_sets_and_their_baseline() -> None:
    gold = np.array([[1, 0, 0], [0, 1, 1]], np.int8)
    assert TYPE.score(LOGITS, gold, None) == {
        "micro_f1": 2 * 2 / (3 + 3),
        "exact_match": 0.5,
        "roc_auc": pytest.approx(2 / 3),
    }
    assert TYPE.majority_baseline(gold, None)["exact_match"] == 0.5
    undefined = TYPE.score(LOGITS, np.ones((2, 3), np.int8), None)
    assert undefined["roc_auc"] is None
    assert "class has no row" in TYPE.why_undefined("roc_auc")


def test_losses_are_binary_cross_entropies() -> None:
    logits, labels = torch.from_numpy(LOGITS), torch.tensor([[1.0, 0, 1], [0, 1, 1]])
    assert TYPE.hard_loss(logits, labels).shape == (2,)
    assert (TYPE.loss_name(None), TYPE.loss_name("binary_kl")) == ("bce", "binary_kl")
    assert TYPE.soft_loss(None)(logits, logits, 2.0).shape == (2,)


def test_a_row_is_flipped_if_any_class_is() -> None:
    before, after = torch.tensor([[1.0, -1, 2], [1, -1, 2]]), torch.tensor([[3.0, -2, 1], [1, 1, 5]])
    assert TYPE.class_view(None, None).flipped(before, after).tolist() == [False, True]
    assert ClassView().flipped(before, after).tolist() == [True, False]


@pytest.mark.parametrize(
    ("names", "problem_type", "expected"),
    [
        (TASK.labels, "multi_label_classification", True),
        (TASK.labels[::-1], "multi_label_classification", False),
        (TASK.labels, "single_label_classification", False),
        (TASK.labels, None, False),
    ],
)
def test_a_model_matches_by_names_and_problem_type(names: list[str], problem_type: str | None, expected: bool) -> None:
    config = SimpleNamespace(num_labels=3, id2label=dict(enumerate(names)), problem_type=problem_type)
    assert TYPE.matches_model(config)[0] == expected
