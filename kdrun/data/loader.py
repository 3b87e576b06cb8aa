"""Training batches: tokens per role, labels or target sequences, cached teacher outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from kdrun.data.batch import Batch
from kdrun.data.samplers import bucketed_batches, longest_first_batches
from kdrun.data.splits import UNLABELED
from kdrun.data.target_sequences import TargetSequences
from kdrun.data.tokenization import TokenizedSplit
from kdrun.data.transfer import to_device

if TYPE_CHECKING:
    from kdrun.data.batch import TeacherStates, TokenLogits

BatchOrder = Literal["bucketed", "longest_first"]
"""Random batches of rows of similar length; or the longest rows first, for a dry run: all rows fit if these do."""


class BatchLoader:
    """Loads batches of training rows and counts the rows it has loaded.

    Args:
        tokens: tokens of the same rows per role; roles with the same tokenization share one object.
        labels: class indices or scores, [rows], or label sets, [rows, classes]; None hides them from a method that
            needs none.
        device: the device of the batches.
        teacher_logits: the teacher's logits on these rows, [rows, outputs], for methods that need them.
        split: name of the split of these rows.
        teacher_states: cached hidden states and attention maps of the teacher on these rows.
        extras: further values per row by name, [rows, …] each; each batch contains those of its rows.
        targets: target sequences of a text-to-text task: every role's inputs then include `decoder_input_ids`, and
            labels are token ids.
        teacher_forward: computes the teacher's logits on all target tokens from its inputs, for tasks with too many
            logits to cache.
        token_logits: the teacher's cached logits on all target tokens, instead of `teacher_forward`.
        order: order of the batches of an epoch.
        num_unlabeled: number of rows at the end that have no label and belong to the split `unlabelled`.

    Raises:
        ValueError: tokens, labels, logits or extras differ in their number of rows.
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
        token_logits: TokenLogits | None = None,
        order: BatchOrder = "bucketed",
        num_unlabeled: int = 0,
    ) -> None:
        counts = {f"{role} tokens": table.num_rows for role, table in tokens.items()}
        counts |= {"labels": len(labels)} if labels is not None else {}
        counts |= {"teacher logits": len(teacher_logits)} if teacher_logits is not None else {}
        counts |= {"target sequences": targets.num_rows} if targets is not None else {}
        self.extras = {name: _wide(values) for name, values in (extras or {}).items()}
        counts |= {name: len(values) for name, values in self.extras.items()}
        if len(set(counts.values())) != 1:
            raise ValueError(f"training rows do not line up: {counts}")
        self.tokens, self.device, self.teacher_logits = dict(tokens), device, teacher_logits
        self.teacher_states, self.targets, self.teacher_forward = teacher_states, targets, teacher_forward
        self.token_logits = token_logits
        self.labels, self.split, self.order = None if labels is None else _wide(labels), split, order
        self.tokenization = _first_role_with_same_tokens(tokens)
        self.num_rows = next(iter(counts.values()))
        self._seen = np.zeros(self.num_rows, dtype=bool)
        self._num_labeled = self.num_rows - num_unlabeled

    @property
    def rows_seen(self) -> np.ndarray:
        """Whether each row has been loaded, [rows] bool."""
        return self._seen

    def load_state(self, rows_seen: np.ndarray) -> None:
        """Restore which rows have been loaded, for a resumed run."""
        self._seen = rows_seen.copy()

    def num_rows_seen(self, split: str) -> int:
        """The number of different rows of a split that have been loaded."""
        parts = {self.split: self._seen[: self._num_labeled], UNLABELED: self._seen[self._num_labeled :]}
        return int(parts[split].sum()) if split in parts else 0

    @property
    def num_labels_seen(self) -> int:
        """The number of task rows that have been loaded with their gold label; other rows have a teacher's label."""
        has_labels = self.labels is not None or (self.targets is not None and self.targets.gold)
        return self.num_rows_seen("train") if has_labels else 0

    def epoch_batches(self, batch_size: int, seed: int, phase: str, epoch: int) -> list[np.ndarray]:
        """The row numbers of each micro-batch of an epoch.

        The result depends only on the arguments and on the lengths of the rows. Lengths are those of the student's
        tokens if it reads the rows, so that all methods with one seed and one student train on the same batches.
        """
        table = self.tokens.get("student") or next(iter(self.tokens.values()))
        if self.order == "longest_first":
            return longest_first_batches(table.lengths, batch_size)
        return bucketed_batches(table.lengths, batch_size, seed, epoch, phase)

    def load_batch(self, rows: np.ndarray, phase: str, step: int) -> Batch:
        """The given rows on the device."""
        self._seen[rows] = True
        batches = {
            name: {key: to_device(values, self.device) for key, values in self.tokens[name].batch(rows).items()}
            for name in dict.fromkeys(self.tokenization.values())
        }
        inputs = {role: batches[name] for role, name in self.tokenization.items()}
        logits, labels, states = None, None, self.teacher_states
        if self.teacher_logits is not None:
            logits = to_device(torch.from_numpy(np.array(self.teacher_logits[rows])), self.device)
        if self.labels is not None:
            labels = to_device(torch.from_numpy(self.labels[rows]), self.device)
        if self.targets is not None:
            target_ids, decoder_ids = (to_device(ids, self.device) for ids in self.targets.batch(rows))
            inputs = {role: {**encoder, "decoder_input_ids": decoder_ids} for role, encoder in inputs.items()}
            labels = target_ids if self.targets.gold else None
            if self.token_logits is not None:
                logits = self.token_logits.batch(rows, self.device)
            elif self.teacher_forward is not None:
                logits = self.teacher_forward(inputs["teacher"])
        return Batch(
            ids=torch.from_numpy(rows.astype(np.int64)),
            inputs=inputs,
            labels=labels,
            teacher_logits=logits,
            phase=phase,
            step=step,
            extras={name: to_device(torch.from_numpy(v[rows]), self.device) for name, v in self.extras.items()},
            tokenization=self.tokenization,
            teacher_states=partial(states.batch, rows, self.device) if states is not None else None,
        )


def _first_role_with_same_tokens(tokens: Mapping[str, TokenizedSplit]) -> dict[str, str]:
    """The tokenization of each role, named after the first role that has it."""
    return {role: next(first for first, other in tokens.items() if other is table) for role, table in tokens.items()}


def _wide(values: np.ndarray) -> np.ndarray:
    """Numbers and label sets as float32, indices as int64: Arrow stores indices in 32 bits, torch accepts 64 only."""
    is_label_set = values.ndim == 2 and values.dtype == np.int8
    return values.astype(np.float32 if is_label_set or np.issubdtype(values.dtype, np.floating) else np.int64)
