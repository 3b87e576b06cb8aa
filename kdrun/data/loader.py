"""Training batches: tokens per role, labels or target sequences, cached teacher outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from kdrun.data.batch import Batch
from kdrun.data.samplers import bucketed_batches, longest_first_batches
from kdrun.data.target_sequences import TargetSequences
from kdrun.data.tokenization import TokenizedSplit

if TYPE_CHECKING:
    from kdrun.data.batch import TeacherStates


class BatchLoader:
    """The training rows of a run; counts what is read where it is read.

    Args:
        tokens: per role, its tokens of the same rows; roles with one tokenizer share one table.
        labels: class indices or scores, [rows]; None where the method needs none, so that it cannot see them.
        device: where batches go.
        teacher_logits: the teacher's logits on these rows, [rows, outputs], where the method needs them.
        split: name of the split that these rows are.
        teacher_states: the teacher's hidden states and attention maps of these rows, where they are kept on disk.
        extras: further values of each row by name, [rows, …] each, which batches carry along.
        targets: the texts that models are to write, where the task asks for such: every role's inputs then have
            `decoder_input_ids`, and labels are token ids.
        live: given the teacher's inputs, its logits on every token to be written: for a task whose logits are too
            many to keep.

    Raises:
        ValueError: the tables, labels, logits or extras are not of the same rows.
    """

    def __init__(
        self,
        tokens: Mapping[str, TokenizedSplit],
        labels: np.ndarray | None,
        device: torch.device,
        teacher_logits: np.ndarray | None = None,
        split: str = "train",
        teacher_states: TeacherStates | None = None,
        extras: Mapping[str, np.ndarray] | None = None,
        targets: TargetSequences | None = None,
        teacher_forward: Callable[[dict[str, torch.Tensor]], torch.Tensor] | None = None,
    ) -> None:
        counts = {f"{role} tokens": table.num_rows for role, table in tokens.items()}
        counts |= {"labels": len(labels)} if labels is not None else {}
        counts |= {"teacher logits": len(teacher_logits)} if teacher_logits is not None else {}
        counts |= {"texts to write": targets.num_rows} if targets is not None else {}
        self.extras = {name: _wide(values) for name, values in (extras or {}).items()}
        counts |= {name: len(values) for name, values in self.extras.items()}
        if len(set(counts.values())) != 1:
            raise ValueError(f"training rows do not line up: {counts}")
        self.tokens, self.device, self.teacher_logits = dict(tokens), device, teacher_logits
        self.teacher_states, self.targets, self.teacher_forward = teacher_states, targets, teacher_forward
        self.labels, self.split = None if labels is None else _wide(labels), split
        self.num_rows = next(iter(counts.values()))
        self._read = np.zeros(self.num_rows, dtype=bool)

    @property
    def rows_seen(self) -> np.ndarray:
        """Which rows have been handed out, [rows] bool."""
        return self._read

    def load_state(self, was_read: np.ndarray) -> None:
        """Count these rows as handed out, and no others: in a run that goes on."""
        self._read = was_read.copy()

    def rows_read(self, split: str) -> int:
        """How many different rows of a split have been handed out."""
        return int(self._read.sum()) if split == self.split else 0

    @property
    def labels_read(self) -> int:
        """How many rows of the task's have been handed out with their label; those of other rows are a teacher's."""
        has_labels = self.labels is not None or (self.targets is not None and self.targets.gold)
        return self.rows_read("train") if has_labels else 0

    def epoch_batches(self, batch_size: int, seed: int, phase: str, epoch: int) -> list[np.ndarray]:
        """The rows of each micro-batch of an epoch: a function of its arguments and the rows' lengths.

        Lengths are those of the student where it reads the rows, so that all methods with one seed and one
        student see the same batches.
        """
        table = self.tokens.get("student") or next(iter(self.tokens.values()))
        return bucketed_batches(table.lengths, batch_size, seed, epoch, phase)

    def longest_first(self, batch_size: int, seed: int, phase: str, epoch: int) -> list[np.ndarray]:
        """Stands in for `order` where a few steps are tried out: what fits for the longest rows fits for all."""
        table = self.tokens.get("student") or next(iter(self.tokens.values()))
        return longest_first_batches(table.lengths, batch_size)

    def load_batch(self, rows: np.ndarray, phase: str, step: int) -> Batch:
        """The given rows on the device."""
        self._read[rows] = True
        made: dict[int, dict[str, torch.Tensor]] = {}
        inputs = {}
        for role, table in self.tokens.items():
            if id(table) not in made:
                made[id(table)] = {k: v.to(self.device) for k, v in table.batch(rows).items()}
            inputs[role] = made[id(table)]
        logits, kept, labels = None, self.teacher_states, None
        if self.teacher_logits is not None:
            logits = torch.from_numpy(np.array(self.teacher_logits[rows])).to(self.device)
        if self.labels is not None:
            labels = torch.from_numpy(self.labels[rows]).to(self.device)
        if self.targets is not None:
            written, read = (ids.to(self.device) for ids in self.targets.batch(rows))
            inputs = {role: {**own, "decoder_input_ids": read} for role, own in inputs.items()}
            labels = written if self.targets.gold else None
            logits = self.teacher_forward(inputs["teacher"]) if self.teacher_forward is not None else None
        return Batch(
            ids=torch.from_numpy(rows.astype(np.int64)),
            inputs=inputs,
            labels=labels,
            teacher_logits=logits,
            phase=phase,
            step=step,
            extras={name: torch.from_numpy(values[rows]).to(self.device) for name, values in self.extras.items()},
            teacher_states=partial(kept.batch, rows, self.device) if kept is not None else None,
        )


def _wide(values: np.ndarray) -> np.ndarray:
    """Numbers in float32, indices in int64: Arrow keeps indices in 32 bits, torch takes 64 only."""
    return values.astype(np.float32 if np.issubdtype(values.dtype, np.floating) else np.int64)
