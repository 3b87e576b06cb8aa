"""The evaluation pass: row order, arithmetic, prediction files."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn

from kdrun.config.task import TaskConfig
from kdrun.tasks.classification import ClassificationTask
from kdrun.tasks.evaluator import Evaluator, prediction_rows
from kdrun.tasks.predictor import Predictor

CLASSES = TaskConfig(name="t", labels=["no", "yes"], metrics=["accuracy"], headline="accuracy", rows={"dev": 5})
SCORE = TaskConfig(name="s", range=[0.0, 5.0], metrics=["pearson"], headline="pearson", rows={"dev": 5})


class Table:
    """Rows of one number each, of different lengths."""

    num_rows = 7
    lengths = np.array([3, 1, 2, 9, 4, 4, 1])

    def batch(self, rows: np.ndarray) -> dict[str, torch.Tensor]:
        return {"input_ids": torch.from_numpy(rows)[:, None]}


class Echo(nn.Module):
    """Answers with the row number, so that order can be seen; dropout would break it."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, input_ids: torch.Tensor) -> SimpleNamespace:
        column = self.dropout(input_ids.float())
        return SimpleNamespace(logits=torch.cat([-column, column], dim=-1))


def test_logits_are_in_row_order_without_dropout() -> None:
    evaluator, model = Evaluator(CLASSES, {}, Predictor(Accelerator(cpu=True), 2)), Echo().train()
    logits = evaluator.predictor.logits(model, Table(), 2)  # type: ignore[arg-type]
    np.testing.assert_array_equal(logits[:, 1], np.arange(7))
    assert model.training


def test_scores_and_headline() -> None:
    gold = np.array([0, 1, 1, 0, 1])
    logits = np.array([[2, 0], [0, 1], [3, 0], [1, 0], [0, 4]], dtype=np.float32)
    assert ClassificationTask(CLASSES).score(logits, gold, None) == {"accuracy": 0.8}
    evaluator = Evaluator(CLASSES, {"dev": gold}, Predictor(Accelerator(cpu=True), 2))
    assert evaluator.headline(evaluator.score({"dev": logits})) == 0.8


def test_prediction_rows_carry_text_names_probabilities_and_logits_of_student_and_teacher() -> None:
    columns = {"text": ["fine"], "label": [0]}
    student, teacher = np.array([[0.0, np.log(3)]], dtype=np.float32), np.array([[np.log(4), 0.0]])
    student_part = {"prediction": "yes", "probabilities": {"no": 0.25, "yes": 0.75}, "logits": [0.0, 1.098612]}
    common = {"id": 0, "split": "dev", "text": "fine", "gold": "no"}
    assert prediction_rows(CLASSES, "dev", columns, student) == [common | student_part]
    taught = {"teacher_prediction": "no", "teacher_probabilities": {"no": 0.8, "yes": 0.2}}
    taught["teacher_logits"] = [1.386294, 0.0]
    assert prediction_rows(CLASSES, "dev", columns, student, teacher) == [common | student_part | taught]
    (unlabeled,) = prediction_rows(CLASSES, "agreement_rows", {"text": ["fine"]}, student, teacher)
    assert "gold" not in unlabeled
    assert unlabeled["split"] == "agreement_rows"


def test_prediction_rows_of_a_pair_with_a_score() -> None:
    columns = {"text": ["a"], "text_pair": ["b"], "label": [3.0]}
    common = {"id": 0, "split": "dev", "text": "a", "text_pair": "b", "gold": 3.0}
    rows = prediction_rows(SCORE, "dev", columns, np.array([[2.5]]), np.array([[4.0]]))
    assert rows == [common | {"prediction": 2.5, "teacher_prediction": 4.0}]
    assert ClassificationTask(SCORE).predictions(np.array([[2.5]])) == pytest.approx([2.5])


def test_scores_by_domain_choose_and_are_kept_apart() -> None:
    task = replace(CLASSES, domains=["a", "b"], rows={"dev": 5, "test": 2}, reported="test")
    gold, test = np.array([0, 1, 1, 0, 1]), np.array([1, 0])
    domains = {"dev": np.array([0, 0, 0, 0, 1]), "test": np.array([1, 1])}
    evaluator = Evaluator(task, {"dev": gold, "test": test}, Predictor(Accelerator(cpu=True), 2), domains)
    right = np.array([[1, 0], [0, 1], [0, 1], [0, 1], [1, 0]], dtype=np.float32)
    scores = evaluator.score({"dev": right, "test": right[:2]})
    # dev: 3 of 4 in a, 0 of 1 in b; test: both wrong
    assert scores["dev"] == {"accuracy": 0.375, "accuracy_a": 0.75, "accuracy_b": 0.0}
    assert scores["test"] == {"accuracy": 0.0, "accuracy_b": 0.0}
    assert evaluator.headline(scores) == 0.375
    # the most frequent class of dev is 1: 2 of 4 in a, 1 of 1 in b; of test it is the first of a tie, 0
    assert evaluator.majority_baseline()["dev"] == {"accuracy": 0.75, "accuracy_a": 0.5, "accuracy_b": 1.0}
    assert evaluator.majority_baseline()["test"] == {"accuracy": 0.5, "accuracy_b": 0.5}


def test_prediction_rows_say_their_domain() -> None:
    task = replace(CLASSES, domains=["a", "b"])
    rows = {"text": ["fine"], "label": [1], "domain": [1]}
    (row,) = prediction_rows(task, "test", rows, np.array([[0.0, 1.0]]))
    assert list(row)[:4] == ["id", "split", "domain", "text"]
    assert row["domain"] == "b"
