"""The evaluation pass and its scores: the same code on the same rows for teacher and student."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from kdrun import metrics
from kdrun.config import TaskConfig
from kdrun.data.batching import by_length
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
    """

    task: TaskConfig
    labels: Mapping[str, np.ndarray]
    accelerator: Accelerator
    batch_size: int

    def logits(self, model: nn.Module, tokens: TokenTable, limit: int | None = None) -> np.ndarray:
        """A model's logits in row order, [rows, outputs], float32.

        Args:
            model: takes the table's columns, returns `.logits`.
            tokens: the rows.
            limit: only so many batches, for a dry run; other rows stay NaN.

        Raises:
            TrainingError: a logit is not finite, which an argmax would hide.
        """
        was_training = model.training
        model.eval()
        out = np.full((tokens.num_rows, self.task.num_outputs), np.nan, dtype=np.float32)
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
        """The task's metrics per split from logits."""
        return {split: score(self.task, values, self.labels[split]) for split, values in logits.items()}

    def headline(self, scores: Scores) -> float | None:
        """The task's headline metric on its first dev split."""
        return scores[self.task.dev_splits[0]][self.task.headline]


def predictions(task: TaskConfig, logits: np.ndarray) -> np.ndarray:
    """Class indices, or scores for a regression task, [rows]."""
    return logits[:, 0] if task.is_regression else logits.argmax(axis=-1)


def score(task: TaskConfig, logits: np.ndarray, labels: np.ndarray) -> dict[str, float | None]:
    """The task's metrics of logits [rows, outputs] against gold labels [rows]."""
    return metrics.compute(list(task.metrics), predictions(task, logits), labels)


def prediction_rows(task: TaskConfig, split: str, logits: np.ndarray, labels: np.ndarray) -> list[dict[str, Any]]:
    """The lines of predictions.jsonl: id, split, gold, prediction, and probabilities by class name."""
    if task.is_regression:
        return [
            {"id": i, "split": split, "gold": float(gold), "prediction": float(value[0])}
            for i, (gold, value) in enumerate(zip(labels, logits, strict=True))
        ]
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares = shifted / shifted.sum(axis=-1, keepdims=True)
    return [
        {
            "id": i,
            "split": split,
            "gold": task.labels[gold],
            "prediction": task.labels[int(row.argmax())],
            "probabilities": {name: round(float(p), 6) for name, p in zip(task.labels, row, strict=True)},
        }
        for i, (gold, row) in enumerate(zip(labels, shares, strict=True))
    ]
