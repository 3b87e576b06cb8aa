"""Gold answers and predictions of a finished run, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kdrun import registry
from kdrun.errors import DataError
from kdrun.storage.files import read_jsonl
from kdrun.storage.json_reader import Rule, Shape, is_finite

if TYPE_CHECKING:
    from kdrun.config.task import TaskConfig


def _is_label(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(name, str) for name in value)
    return isinstance(value, str) or is_finite(value)


LABEL = Rule("a text, a list of texts or a number", _is_label)
PREDICTION: dict[str, Shape] = {
    "split": str,
    "gold": LABEL,
    "prediction": LABEL,
    "teacher_prediction?": LABEL,
    "probabilities?": {"*": float},
    "domain?": str,
    "group?": int,
}
"""What a comparison reads of a line of predictions.jsonl."""


@dataclass(frozen=True)
class Predictions:
    """The answers of a run, or of several, on a split.

    Attributes:
        gold: class indices, scores or texts, [rows]; label sets, 0 or 1, [rows, classes].
        predicted: what the metric takes: predictions as `gold`, or probabilities, [rows, classes].
        answers: predictions as `gold`, also for a metric that takes probabilities.
        domains: the name of each row's domain, [rows]; None for a task without domains.
        groups: number of the group of each row, [rows], for held-out rows; None if every row is on its own.
    """

    gold: np.ndarray
    predicted: np.ndarray
    answers: np.ndarray
    domains: np.ndarray | None
    groups: np.ndarray | None = None


def read_predictions(folder: Path, task: TaskConfig, split: str, metric: str | None) -> Predictions:
    """The predictions of a run on a split, as a metric takes them; None is no metric, for the answers alone.

    Raises:
        DataError: the file has a damaged line, or no probabilities for a metric that needs them.
    """
    rows = _rows(folder, split)
    gold, answers = (_answers([row[key] for row in rows], task) for key in ("gold", "prediction"))
    predicted = answers
    if metric is not None and registry.get("metric", metric).needs_probabilities:
        if any("probabilities" not in row for row in rows):
            raise DataError(f"{folder}/predictions.jsonl has no probabilities, and {metric} is computed from them")
        predicted = np.array([[row["probabilities"][name] for name in task.labels] for row in rows])
    domains = np.array([row["domain"] for row in rows]) if rows and "domain" in rows[0] else None
    groups = np.array([row["group"] for row in rows]) if rows and "group" in rows[0] else None
    return Predictions(gold, predicted, answers, domains, groups)


def read_teacher_answers(folder: Path, task: TaskConfig, split: str) -> np.ndarray | None:
    """The teacher's predictions of a run on a split; None for a run without a teacher's predictions there."""
    rows = _rows(folder, split)
    if not rows or any("teacher_prediction" not in row for row in rows):
        return None
    return _answers([row["teacher_prediction"] for row in rows], task)


def _rows(folder: Path, split: str) -> list[dict[str, Any]]:
    return [row for row in read_jsonl(folder / "predictions.jsonl", PREDICTION) if row["split"] == split]


def _answers(values: list[Any], task: TaskConfig) -> np.ndarray:
    if task.is_multi_label:
        sets = [set(names) for names in values]
        return np.array([[name in names for name in task.labels] for names in sets], np.int64)
    index = {name: i for i, name in enumerate(task.labels)}
    return np.array([index[name] for name in values] if task.labels else values)
