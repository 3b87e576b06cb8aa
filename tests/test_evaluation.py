"""The evaluation pass: row order, arithmetic, prediction files."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn

from kdrun.config import TaskConfig
from kdrun.evaluation import Evaluator, prediction_rows, predictions, score

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


def test_logits_come_in_row_order_without_dropout() -> None:
    evaluator, model = Evaluator(CLASSES, {}, Accelerator(cpu=True), 2), Echo().train()
    logits = evaluator.logits(model, Table())  # type: ignore[arg-type]
    np.testing.assert_array_equal(logits[:, 1], np.arange(7))
    assert model.training


def test_scores_and_headline() -> None:
    gold = np.array([0, 1, 1, 0, 1])
    logits = np.array([[2, 0], [0, 1], [3, 0], [1, 0], [0, 4]], dtype=np.float32)
    assert score(CLASSES, logits, gold) == {"accuracy": 0.8}
    evaluator = Evaluator(CLASSES, {"dev": gold}, Accelerator(cpu=True), 2)
    assert evaluator.headline(evaluator.score({"dev": logits})) == 0.8


def test_prediction_rows_carry_names_and_probabilities() -> None:
    columns = {"text": ["fine"], "label": [0]}
    rows = prediction_rows(CLASSES, "dev", columns, np.array([[0.0, np.log(3)]], dtype=np.float32))
    assert rows == [
        {"id": 0, "split": "dev", "gold": "no", "prediction": "yes", "probabilities": {"no": 0.25, "yes": 0.75}}
    ]
    assert prediction_rows(SCORE, "dev", np.array([[2.5]]), np.array([3.0])) == [
        {"id": 0, "split": "dev", "gold": 3.0, "prediction": 2.5}
    ]
    assert predictions(SCORE, np.array([[2.5]])) == pytest.approx([2.5])
