"""Training batches of corpus lines, for pretraining."""

from __future__ import annotations

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from kdrun import rng
from kdrun.data.batch import Batch
from kdrun.data.corpus.line_tokens import LineTokens

WINDOW = 50
"""Batches that are sorted by length together: little padding, and still a random order."""


class LineLoader:
    """Loads batches of corpus lines, one line per row.

    Args:
        tokens: token ids of the lines.
        tokenizer: that made them.
        role: key of the inputs in a batch.
    """

    def __init__(self, tokens: LineTokens, tokenizer: PreTrainedTokenizerBase, role: str) -> None:
        assert isinstance(tokenizer.pad_token_id, int)
        self.tokens, self.pad, self.role = tokens, tokenizer.pad_token_id, role
        self.lengths, self.num_rows = tokens.lengths, len(tokens.lengths)
        self.rows_seen = np.zeros(self.num_rows, dtype=bool)

    def load_state(self, rows_seen: np.ndarray) -> None:
        """Mark these rows as read, and no others."""
        self.rows_seen = rows_seen.copy()

    def epoch_batches(self, batch_size: int, seed: int, phase: str, epoch: int) -> list[np.ndarray]:
        """Row numbers of each batch of an epoch, [batch] each: random, with rows of similar length in one batch."""
        order = rng.numpy_stream(seed, "order", phase, epoch).permutation(self.num_rows)
        stream = rng.numpy_stream(seed, "buckets", phase, epoch)
        batches: list[np.ndarray] = []
        for start in range(0, len(order), batch_size * WINDOW):
            window = order[start : start + batch_size * WINDOW]
            window = window[np.argsort(self.lengths[window], kind="stable")]
            window_batches = [window[i : i + batch_size] for i in range(0, len(window), batch_size)]
            batches += [window_batches[i] for i in stream.permutation(len(window_batches))]
        return batches

    def load_batch(self, rows: np.ndarray, phase: str, step: int) -> Batch:
        """The given rows as `input_ids` [batch, length], padded, on the CPU, where masks are drawn."""
        self.rows_seen[rows] = True
        ids = np.full((len(rows), int(self.lengths[rows].max())), self.pad, np.int64)
        for place, row in enumerate(rows):
            ids[place, : self.lengths[row]] = self.tokens.row(row)
        inputs = {self.role: {"input_ids": torch.from_numpy(ids)}}
        return Batch(torch.from_numpy(rows.astype(np.int64)), inputs, phase=phase, step=step)
