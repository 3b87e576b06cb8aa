"""The evaluation pass and its scores: the same code on the same rows for teacher and student."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from kdrun import metrics
from kdrun.data.batching import by_length
from kdrun.data.config import TaskConfig
from kdrun.data.tokens import TokenTable
from kdrun.errors import TrainingError

Scores = dict[str, dict[str, float | None]]
"""split → metric → value, as in result.json; None where a metric is undefined."""


@dataclass(frozen=True)
class Evaluator:
    """Scores models on the dev splits of a task.

    Attributes:
        task: metrics and headline.
        labels: per split, class indices or scores, [rows].
        accelerator: device and arithmetic.
        batch_size: examples per batch.
        domains: per split whose rows say their domain, the index of each row's, [rows].
    """

    task: TaskConfig
    labels: Mapping[str, np.ndarray]
    accelerator: Accelerator
    batch_size: int
    domains: Mapping[str, np.ndarray] = field(default_factory=dict)

    def logits(
        self, model: nn.Module, tokens: TokenTable, limit: int | None = None, width: int | None = None
    ) -> np.ndarray:
        """A model's logits in row order, [rows, outputs], float32.

        Args:
            model: takes the table's columns, returns `.logits`.
            tokens: the rows.
            limit: only so many batches, for a dry run; other rows stay NaN.
            width: outputs of a model that has others than the task.

        Raises:
            TrainingError: a logit is not finite, which an argmax would hide.
        """
        was_training = model.training
        model.eval()
        out = np.full((tokens.num_rows, width or self.task.num_outputs), np.nan, dtype=np.float32)
        with torch.inference_mode(), self.accelerator.autocast():
            for rows in by_length(tokens.lengths, self.batch_size)[:limit]:
                batch = {k: v.to(self.accelerator.device) for k, v in tokens.batch(rows).items()}
                out[rows] = model(**batch).logits.float().cpu().numpy()
        model.train(was_training)
        broken = np.flatnonzero(~np.isfinite(out).all(axis=-1)) if limit is None else []
        if len(broken):
            raise TrainingError(
                f"the {type(model).__name__} gives logits that are not finite on {len(broken)} of {len(out)} rows (the "
                f"first is row {broken[0]}): it has diverged; lower the learning rate, or try runtime.precision=fp32"
            )
        return out

    def score(self, logits: Mapping[str, np.ndarray]) -> Scores:
        """The task's metrics per split from logits; where rows have domains, their mean and each domain's."""
        return {
            split: score(self.task, values, self.labels[split], self.domains.get(split))
            for split, values in logits.items()
        }

    def guess(self) -> Scores:
        """What a constant guess scores on every split."""
        return {
            split: metrics.majority(self.task, gold, self.domains.get(split)) for split, gold in self.labels.items()
        }

    def headline(self, scores: Scores) -> float | None:
        """The task's headline metric on its first dev split, which chooses checkpoints."""
        return scores[self.task.dev_splits[0]][self.task.headline]


def predictions(task: TaskConfig, logits: np.ndarray) -> np.ndarray:
    """Class indices, or scores for a regression task, [rows]."""
    return logits[:, 0] if task.is_regression else logits.argmax(axis=-1)


def score(
    task: TaskConfig, logits: np.ndarray, labels: np.ndarray, domains: np.ndarray | None = None
) -> dict[str, float | None]:
    """The task's metrics of logits [rows, outputs] against gold labels [rows].

    Given the rows' domains, [rows] indices into the task's: the plain mean over the domains present, and each
    domain's value as `<metric>_<domain>` (`kdrun.metrics.by_domain`).
    """
    names, found = list(task.metrics), predictions(task, logits)
    if domains is None:
        return metrics.compute(names, found, labels)
    return metrics.by_domain(names, found, labels, domains, task.domains)


def prediction_rows(
    task: TaskConfig,
    split: str,
    rows: Mapping[str, Sequence[Any]],
    student: np.ndarray,
    teacher: np.ndarray | None = None,
) -> list[dict[str, Any]]:
    """The lines of predictions.jsonl, one a row of a dev split.

    Args:
        task: names of the classes.
        split: name of the split.
        rows: the split's columns: `text`, perhaps `text_pair`, `label` (class index or score), perhaps `domain`.
        student: its logits, [rows, outputs].
        teacher: its logits on the same rows, where one took part.

    Returns:
        id, split, domain (where rows have one), text, text_pair (for pairs), gold, prediction, probabilities by class
        name (none for a score), and the teacher's `teacher_prediction` and `teacher_probabilities`.
    """
    texts = [name for name in ("text", "text_pair") if name in rows]
    made = []
    gold = rows["label"]
    said = {"": answers(task, student)} | ({"teacher_": answers(task, teacher)} if teacher is not None else {})
    for i in range(len(student)):
        row: dict[str, Any] = {"id": i, "split": split}
        if "domain" in rows:
            row["domain"] = task.domains[rows["domain"][i]]
        row |= {name: rows[name][i] for name in texts}
        row["gold"] = float(gold[i]) if task.is_regression else task.labels[int(gold[i])]
        for whose, found in said.items():
            row |= {f"{whose}{key}": value for key, value in found[i].items()}
        made.append(row)
    return made


def answers(task: TaskConfig, logits: np.ndarray) -> list[dict[str, Any]]:
    """What logits [rows, outputs] say of each row: `prediction`, and for classes `probabilities` by name."""
    if task.is_regression:
        return [{"prediction": float(value)} for value in logits[:, 0]]
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares = shifted / shifted.sum(axis=-1, keepdims=True)
    return [
        {
            "prediction": task.labels[int(row.argmax())],
            "probabilities": {name: round(float(p), 6) for name, p in zip(task.labels, row, strict=True)},
        }
        for row in shares
    ]
