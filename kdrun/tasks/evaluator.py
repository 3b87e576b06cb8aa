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
from kdrun.tasks.base import Outputs, TaskType
from kdrun.tasks.predictor import Predictor
from kdrun.tasks.task_types import task_type_of


@dataclass(frozen=True)
class Evaluator:
    """Scores models on the dev splits of a task.

    Attributes:
        task: metrics and headline.
        labels: per split, class indices, scores or texts, [rows].
        predictor: runs the models.
        domains: per split whose rows say their domain, the index of each row's, [rows].
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
            splits: by name.
            predictor: runs the models.
        """
        domains = {name: ids for name, split in splits.items() if (ids := split.domains()) is not None}
        return cls(task, {name: split.labels() for name, split in splits.items()}, predictor, domains)

    @cached_property
    def task_type(self) -> TaskType:
        """The task type."""
        return task_type_of(self.task)

    def outputs(self, built: ModelBundle, tokens: TokenizedSplit, limit: int | None = None) -> Outputs:
        """What a model says of rows, in row order: logits [rows, outputs], or of a task that asks for a text `Written`.

        Args:
            built: model and tokenizer.
            tokens: the rows.
            limit: only so many batches, for a dry run.

        Raises:
            TrainingError: a logit is not finite, which an argmax would hide.
        """
        return self.task_type.outputs(self.predictor, built, tokens, limit)

    def score(self, outputs: Mapping[str, Outputs]) -> Scores:
        """The task's metrics per split; where rows have domains, their mean and each domain's."""
        return {
            split: self.task_type.score(values, self.labels[split], self.domains.get(split))
            for split, values in outputs.items()
        }

    def majority_baseline(self) -> Scores:
        """What a constant guess scores on every split."""
        return {
            split: self.task_type.majority_baseline(gold, self.domains.get(split))
            for split, gold in self.labels.items()
        }

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
    """The lines of predictions.jsonl, one a row of a dev split.

    Args:
        task: names of the classes.
        split: name of the split.
        rows: the split's columns: `text`, perhaps `text_pair`, `label`, perhaps `domain`.
        student: its outputs.
        teacher: its outputs on the same rows, where one took part.

    Returns:
        id, split, domain (where rows have one), text, text_pair (for pairs), gold, prediction, what belongs to it by
        kind (`Kind.answers`: probabilities by class name, `written`), and the same of the teacher's with `teacher_`.
    """
    texts = [name for name in ("text", "text_pair") if name in rows]
    made = []
    gold, kind = rows["label"], task_type_of(task)
    said = {
        whose: kind.prediction_records(outputs, rows[texts[0]])
        for whose, outputs in (("", student), ("teacher_", teacher))
        if outputs is not None
    }
    for i in range(len(student)):
        row: dict[str, Any] = {"id": i, "split": split}
        if "domain" in rows:
            row["domain"] = task.domains[rows["domain"][i]]
        row |= {name: rows[name][i] for name in texts}
        row["gold"] = kind.label_name(gold[i])
        for whose, found in said.items():
            row |= {f"{whose}{key}": value for key, value in found[i].items()}
        made.append(row)
    return made
