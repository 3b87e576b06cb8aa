"""The evaluation pass and its scores: the same code on the same rows for teacher and student."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from kdrun.data.batching import by_length
from kdrun.data.config import TaskConfig
from kdrun.data.tokens import TokenTable
from kdrun.errors import TrainingError
from kdrun.kinds import Kind, kind_of
from kdrun.kinds.base import Outputs
from kdrun.models.built import Built

Scores = dict[str, dict[str, float | None]]
"""split → metric → value, as in result.json; None where a metric is undefined."""


@dataclass(frozen=True)
class Evaluator:
    """Scores models on the dev splits of a task.

    Attributes:
        task: metrics and headline.
        labels: per split, class indices, scores or texts, [rows].
        accelerator: device and arithmetic.
        batch_size: examples per batch.
        domains: per split whose rows say their domain, the index of each row's, [rows].
    """

    task: TaskConfig
    labels: Mapping[str, np.ndarray]
    accelerator: Accelerator
    batch_size: int
    domains: Mapping[str, np.ndarray] = field(default_factory=dict)

    @cached_property
    def kind(self) -> Kind:
        """What the task asks for."""
        return kind_of(self.task)

    def outputs(self, built: Built, tokens: TokenTable, limit: int | None = None) -> Outputs:
        """What a model says of rows, in row order: logits [rows, outputs], or of a task that asks for a text `Written`.

        Args:
            built: model and tokenizer.
            tokens: the rows.
            limit: only so many batches, for a dry run.

        Raises:
            TrainingError: a logit is not finite, which an argmax would hide.
        """
        return self.kind.outputs(self, built, tokens, limit)

    def batches(self, tokens: TokenTable) -> list[np.ndarray]:
        """Row numbers of each batch, [batch] each; long rows come first."""
        return by_length(tokens.lengths, self.batch_size)

    @contextmanager
    def passing(self, model: nn.Module) -> Iterator[None]:
        """The model in evaluation mode, without gradients, in the run's arithmetic; afterwards as it was."""
        was_training = model.training
        model.eval()
        with torch.inference_mode(), self.accelerator.autocast():
            yield
        model.train(was_training)

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
        out = np.full((tokens.num_rows, width or self.task.num_outputs), np.nan, dtype=np.float32)
        with self.passing(model):
            for rows in self.batches(tokens)[:limit]:
                batch = {k: v.to(self.accelerator.device) for k, v in tokens.batch(rows).items()}
                out[rows] = model(**batch).logits.float().cpu().numpy()
        broken = np.flatnonzero(~np.isfinite(out).all(axis=-1)) if limit is None else []
        if len(broken):
            raise TrainingError(
                f"the {type(model).__name__} gives logits that are not finite on {len(broken)} of {len(out)} rows (the "
                f"first is row {broken[0]}): it has diverged; lower the learning rate, or try runtime.precision=fp32"
            )
        return out

    def score(self, outputs: Mapping[str, Outputs]) -> Scores:
        """The task's metrics per split; where rows have domains, their mean and each domain's."""
        return {
            split: self.kind.score(values, self.labels[split], self.domains.get(split))
            for split, values in outputs.items()
        }

    def guess(self) -> Scores:
        """What a constant guess scores on every split."""
        return {split: self.kind.guess(gold, self.domains.get(split)) for split, gold in self.labels.items()}

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
    gold, kind = rows["label"], kind_of(task)
    said = {
        whose: kind.answers(outputs, rows[texts[0]])
        for whose, outputs in (("", student), ("teacher_", teacher))
        if outputs is not None
    }
    for i in range(len(student)):
        row: dict[str, Any] = {"id": i, "split": split}
        if "domain" in rows:
            row["domain"] = task.domains[rows["domain"][i]]
        row |= {name: rows[name][i] for name in texts}
        row["gold"] = kind.gold(gold[i])
        for whose, found in said.items():
            row |= {f"{whose}{key}": value for key, value in found[i].items()}
        made.append(row)
    return made
