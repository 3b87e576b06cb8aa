"""Training batches of corpus lines, for pretraining."""

from __future__ import annotations

from itertools import islice

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from kdrun import progress, rng
from kdrun.data.batch import Batch
from kdrun.data.corpus.corpora import Corpus
from kdrun.errors import ModelError

WINDOW = 50
"""Batches that are sorted by length together: little padding, and still a random order."""

CHUNK = 4096
"""Lines that are tokenized together."""


class LineLoader:
    """Token ids of corpus lines, one line per row.

    Only the first lines of a corpus are read if it has more than `num_lines`, so that memory stays bounded.

    Args:
        corpus: the text.
        tokenizer: of the model; lines that it turns into special tokens alone are left out.
        num_lines: most lines to read.
        max_length: tokens per row, special tokens included.
        role: key of the inputs in a batch.

    Raises:
        ModelError: no line has a word.
    """

    def __init__(
        self, corpus: Corpus, tokenizer: PreTrainedTokenizerBase, num_lines: int, max_length: int, role: str
    ) -> None:
        lines, self.role = islice(corpus.lines(), num_lines), role
        self.rows: list[list[int]] = []
        with progress.track(f"tokenizing the corpus for the {role}") as activity:
            while chunk := list(islice(lines, CHUNK)):
                encoded = tokenizer(
                    chunk,
                    truncation=True,
                    max_length=max_length,
                    return_attention_mask=False,
                    return_token_type_ids=False,
                )["input_ids"]
                self.rows += [row for row in encoded if len(row) > 2]  # type: ignore[union-attr, arg-type]
                activity.advance(len(chunk))
        if not self.rows:
            raise ModelError(f"the corpus {corpus.name} has no words for pretraining; give another: corpus.dir=PATH")
        assert isinstance(tokenizer.pad_token_id, int)
        self.pad, self.lengths = tokenizer.pad_token_id, np.array([len(row) for row in self.rows])
        self.num_rows = len(self.rows)
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
            ids[place, : self.lengths[row]] = self.rows[row]
        inputs = {self.role: {"input_ids": torch.from_numpy(ids)}}
        return Batch(torch.from_numpy(rows.astype(np.int64)), inputs, phase=phase, step=step)
