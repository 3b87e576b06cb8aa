"""The dev rows of a run, from its predictions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kdrun.deployment.saved_folder import SavedRun
from kdrun.errors import DataError, ModelError
from kdrun.storage.files import read_jsonl
from kdrun.storage.json_reader import Rule, Shape
from kdrun.tasks.base import TaskType

PREDICTIONS = "predictions.jsonl"
SHAPE: dict[str, Shape] = {
    "split": str,
    "text": str,
    "text_pair?": str,
    "domain?": str,
    "gold": Rule("a label", lambda value: value is not None),
}


@dataclass(frozen=True)
class DevRows:
    """Rows of the dev splits of a run, in the order of its predictions.

    Attributes:
        texts: one or two texts per row.
        labels: labels as from `Split.labels`.
        splits: split of each row.
        domains: index of each row's domain; None for a task without domains.
    """

    texts: list[tuple[str, ...]]
    labels: np.ndarray
    splits: np.ndarray
    domains: np.ndarray | None

    def score(self, task_type: TaskType, outputs: np.ndarray, split: str, metric: str) -> float | None:
        """A metric of a model's outputs on one split; None where it is undefined.

        Args:
            task_type: of the rows.
            outputs: of all rows.
            split: name of the split.
            metric: name of the metric.
        """
        rows = np.flatnonzero(self.splits == split)
        domains = None if self.domains is None else self.domains[rows]
        return task_type.score(outputs[rows], self.labels[rows], domains)[metric]


def read_dev_rows(run: SavedRun, task_type: TaskType) -> DevRows:
    """Read the rows of all dev splits of a run, with their labels.

    Args:
        run: a run that has ended.
        task_type: its task type.

    Raises:
        ModelError: the run has no predictions.
        DataError: a line is damaged, or a label or domain is not one of the task.
    """
    path = check_predictions(run)
    rows = read_jsonl(path, SHAPE)
    if not rows:
        raise ModelError(f"{path} has no rows; repeat the run")
    labels, domains, task = [], [], task_type.task
    for number, row in enumerate(rows, start=1):
        try:
            labels.append(task_type.label_value(row["gold"]))
            if task.is_by_domain:
                domains.append(task.domains.index(row["domain"]))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}, line {number}: gold={row['gold']!r:.60} or its domain is none of the task ({error})"
            ) from None
    texts = [tuple(row[name] for name in ("text", "text_pair") if name in row) for row in rows]
    splits = np.array([row["split"] for row in rows])
    return DevRows(texts, np.array(labels), splits, np.array(domains) if task.is_by_domain else None)


def check_predictions(run: SavedRun) -> Path:
    """The file of a run's predictions.

    Raises:
        ModelError: the run has none.
    """
    path = run.path / PREDICTIONS
    if not path.is_file():
        raise ModelError(f"{path} is missing: the run has not ended, or the file was removed; resume or repeat the run")
    return path
