"""Gold answers and predictions of a finished run, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kdrun import registry
from kdrun.config.evaluation import AGREEMENT_FILE, AGREEMENT_ROWS
from kdrun.data.splits import SEPARATOR
from kdrun.errors import DataError
from kdrun.storage.files import read_jsonl
from kdrun.storage.json_reader import Rule, Shape, is_finite
from kdrun.tasks.agreement import TEACHER_KL

if TYPE_CHECKING:
    from kdrun.config.task import TaskConfig


def _is_label(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(name, str) for name in value)
    return isinstance(value, str) or is_finite(value)


LABEL = Rule("a text, a list of texts or a number", _is_label)
PREDICTION: dict[str, Shape] = {
    "split": str,
    "gold?": LABEL,
    "prediction": LABEL,
    "teacher_prediction?": LABEL,
    "probabilities?": {"*": float},
    "logits?": [float],
    "teacher_logits?": [float],
    "text?": str,
    "text_pair?": str,
    "domain?": str,
    "group?": int,
}
"""What a comparison reads of a line of predictions.jsonl, or of agreement.jsonl, whose rows have no gold answer."""


@dataclass(frozen=True)
class Predictions:
    """The answers of a run, or of several, on a split.

    Attributes:
        gold: class indices, scores or texts, [rows]; label sets, 0 or 1, [rows, classes]; the rows' texts if they have
            no labels.
        predicted: what the metric takes: predictions as `gold`, or probabilities or logits, [rows, classes].
        domains: the name of each row's domain, [rows]; None for a task without domains.
        groups: number of the group of each row, [rows], for held-out rows; None if every row is on its own.
    """

    gold: np.ndarray
    predicted: np.ndarray
    domains: np.ndarray | None
    groups: np.ndarray | None = None


def read_predictions(folder: Path, task: TaskConfig, split: str, metric: str | None) -> Predictions:
    """The predictions of a run on a split, as a metric takes them; None is no metric, for the answers alone.

    Raises:
        DataError: the file is missing or has a damaged line, or lacks probabilities or logits that the metric needs.
    """
    rows = _rows(folder, split)
    has_labels = all("gold" in row for row in rows)
    if has_labels:
        gold = _answers([row["gold"] for row in rows], task)
    else:
        gold = np.array([f"{row.get('text')}{SEPARATOR}{row.get('text_pair', '')}" for row in rows])
    predicted = _answers([row["prediction"] for row in rows], task)
    if metric == TEACHER_KL:
        predicted = _logits(rows, "logits", folder, task)
    elif metric is not None and registry.get("metric", metric).needs_probabilities:
        if any("probabilities" not in row for row in rows):
            raise DataError(f"{folder}/predictions.jsonl has no probabilities, and {metric} is computed from them")
        predicted = np.array([[row["probabilities"][name] for name in task.labels] for row in rows])
    domains = np.array([row["domain"] for row in rows]) if rows and "domain" in rows[0] else None
    groups = np.array([row["group"] for row in rows]) if rows and "group" in rows[0] else None
    return Predictions(gold, predicted, domains, groups)


def read_teacher_answers(folder: Path, task: TaskConfig, split: str, metric: str | None = None) -> np.ndarray | None:
    """The teacher's predictions of a run on a split; None for a run without a teacher's predictions there.

    Args:
        folder: of the run.
        task: of the run.
        split: name of the rows.
        metric: `teacher_kl` for the teacher's logits instead.
    """
    rows = _rows(folder, split)
    if not rows or any("teacher_prediction" not in row for row in rows):
        return None
    if metric == TEACHER_KL:
        return _logits(rows, "teacher_logits", folder, task)
    return _answers([row["teacher_prediction"] for row in rows], task)


def _rows(folder: Path, split: str) -> list[dict[str, Any]]:
    path = folder / (AGREEMENT_FILE if split == AGREEMENT_ROWS else "predictions.jsonl")
    if split == AGREEMENT_ROWS and not path.is_file():
        raise DataError(f"{folder} has no {AGREEMENT_FILE}, which a run with evaluation.{AGREEMENT_ROWS}=N writes")
    return [row for row in read_jsonl(path, PREDICTION) if row["split"] == split]


def _logits(rows: list[dict[str, Any]], key: str, folder: Path, task: TaskConfig) -> np.ndarray:
    if any(len(row.get(key, [])) != len(task.labels) for row in rows):
        raise DataError(
            f"{folder}: its predictions have no {key} of {len(task.labels)} classes, from which metric={TEACHER_KL} is "
            "computed; older versions did not write them: repeat the run in another output_dir"
        )
    return np.array([row[key] for row in rows], np.float64).reshape(len(rows), len(task.labels))


def _answers(values: list[Any], task: TaskConfig) -> np.ndarray:
    if task.is_multi_label:
        sets = [set(names) for names in values]
        return np.array([[name in names for name in task.labels] for names in sets], np.int64)
    index = {name: i for i, name in enumerate(task.labels)}
    return np.array([index[name] for name in values] if task.labels else values)
