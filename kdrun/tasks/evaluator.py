"""Score models on the dev splits and write prediction records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from kdrun.config.task import TaskConfig
from kdrun.data.splits import Split
from kdrun.data.tokenization import TokenizedSplit
from kdrun.models.bundle import ModelBundle
from kdrun.storage.run_result import Scores
from kdrun.tasks.answers import LOGITS, logit_rows
from kdrun.tasks.base import Outputs, TaskType
from kdrun.tasks.predictor import Predictor
from kdrun.tasks.task_types import task_type_of


@dataclass(frozen=True)
class Evaluator:
    """Scores models on the dev splits of a task.

    Attributes:
        task: metrics and headline.
        labels: class indices, scores or texts of each split, [rows].
        predictor: runs the models.
        domains: index of each row's domain, for each split with domains, [rows].
    """

    task: TaskConfig
    labels: Mapping[str, np.ndarray]
    predictor: Predictor
    domains: Mapping[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def for_splits(cls, task: TaskConfig, splits: Mapping[str, Split], predictor: Predictor) -> Evaluator:
        """An evaluator for these dev splits.

        Args:
            task: metrics and headline.
            splits: the dev splits by name.
            predictor: runs the models.
        """
        domains = {name: ids for name, split in splits.items() if (ids := split.domains()) is not None}
        return cls(task, {name: split.labels() for name, split in splits.items()}, predictor, domains)

    @cached_property
    def task_type(self) -> TaskType:
        """The task type."""
        return task_type_of(self.task)

    def outputs(self, bundle: ModelBundle, tokens: TokenizedSplit, limit: int | None = None) -> Outputs:
        """A model's outputs in row order: logits [rows, outputs], or `GeneratedAnswer` objects [rows] for text answers.

        Args:
            bundle: model and tokenizer.
            tokens: the rows.
            limit: number of batches to run, for a dry run; None for all.

        Raises:
            TrainingError: a logit is not finite, which an argmax would hide.
        """
        return self.task_type.outputs(self.predictor, bundle, tokens, limit)

    def score(self, outputs: Mapping[str, Outputs]) -> Scores:
        """The task's metrics per split; with domains, their mean and the value per domain."""
        return {
            split: self.task_type.score(values, self.labels[split], self.domains.get(split))
            for split, values in outputs.items()
        }

    def majority_baseline(self) -> Scores:
        """The metrics of the best constant prediction on every split."""
        return {split: self.split_baseline(split) for split in self.labels}

    def split_baseline(self, split: str) -> dict[str, float | None]:
        """The metrics of the best constant prediction on one split."""
        return self.task_type.majority_baseline(self.labels[split], self.domains.get(split))

    def headline(self, scores: Scores) -> float | None:
        """The task's headline metric on its first dev split, which chooses checkpoints."""
        return scores[self.task.dev_splits[0]][self.task.headline]


def prediction_rows(
    task: TaskConfig,
    split: str,
    rows: Mapping[str, Sequence[Any]],
    student: Outputs,
    teacher: Outputs | None = None,
) -> list[dict[str, Any]]:
    """The lines of predictions.jsonl, one per row of a dev split.

    Args:
        task: the task.
        split: name of the split.
        rows: columns of the split: `text`, `label`, optionally `text_pair`, `domain` and `group`.
        student: the student's outputs.
        teacher: the teacher's outputs on the same rows; None for a run without a teacher.

    Returns:
        id, split, domain and group (if rows have them), text, text_pair (for pairs), gold (unless rows have no label),
        and the values of `TaskType.prediction_records` and the logits of a task with classes, for the student, and with
        the prefix `teacher_` for the teacher.
    """
    text_columns = [name for name in ("text", "text_pair") if name in rows]
    lines = []
    labels, task_type = rows.get("label"), task_type_of(task)
    records = {
        prefix: _records(task, outputs, rows[text_columns[0]])
        for prefix, outputs in (("", student), ("teacher_", teacher))
        if outputs is not None
    }
    for i in range(len(student)):
        line: dict[str, Any] = {"id": i, "split": split}
        if "domain" in rows:
            line["domain"] = task.domains[rows["domain"][i]]
        if "group" in rows:
            line["group"] = rows["group"][i]
        line |= {name: rows[name][i] for name in text_columns}
        if labels is not None:
            line["gold"] = task_type.label_name(labels[i])
        for prefix, of_model in records.items():
            line |= {f"{prefix}{key}": value for key, value in of_model[i].items()}
        lines.append(line)
    return lines


def _records(task: TaskConfig, outputs: Outputs, texts: Sequence[str]) -> list[dict[str, Any]]:
    """The prediction records of a model, with its logits if the task has classes."""
    records = task_type_of(task).prediction_records(outputs, texts)
    if not task.labels or task.is_text:
        return records
    return [record | {LOGITS: row} for record, row in zip(records, logit_rows(outputs), strict=True)]
