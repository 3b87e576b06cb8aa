"""Target sequences for text-to-text models: labels and decoder inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from kdrun.data.splits import TEXT_COLUMNS, Split, content_hash
from kdrun.data.tokenization import TokenizedSplit, tokenize
from kdrun.losses import IGNORE_INDEX

if TYPE_CHECKING:
    import torch

NO_LIMIT = 1_000_000
"""More tokens than any answer has."""


@dataclass(frozen=True)
class TargetSequences:
    """One target sequence per row.

    Attributes:
        tokens: token ids of the answers, end token included.
        start: id of the first token of every decoder input.
        limit: most tokens per target; a longer answer is truncated and then has no end token, so the model does not
            learn to stop there.
        gold: whether the answers are the task's labels rather than a teacher's.
    """

    tokens: TokenizedSplit
    start: int
    limit: int
    gold: bool

    @property
    def num_rows(self) -> int:
        """The number of answers."""
        return self.tokens.num_rows

    @property
    def num_truncated(self) -> int:
        """The number of answers longer than the limit."""
        return int((self.tokens.lengths > self.limit).sum())

    @property
    def fingerprint(self) -> str:
        """A hash of the answers, the vocabulary and the limit."""
        return f"{self.tokens.fingerprint}/{self.limit}"

    def batch(self, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Labels and decoder inputs of the given rows, for teacher forcing.

        Returns:
            `labels`, token ids with -100 behind the end of an answer, and `decoder_input_ids`, the labels shifted right
            behind the start token: int64, [batch, length] each.
        """
        batch = self.tokens.batch(rows)
        ids, present = batch["input_ids"][:, : self.limit], batch["attention_mask"][:, : self.limit].bool()
        return shift_right(ids, present, self.start)


def shift_right(ids: torch.Tensor, present: torch.Tensor, start: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels and decoder inputs of answers, for teacher forcing.

    Args:
        ids: token ids of the answers, end tokens included, [batch, length].
        present: whether a position belongs to an answer, [batch, length] bool.
        start: id of the first token of every decoder input.

    Returns:
        `labels` and `decoder_input_ids` as in `TargetSequences.batch`.
    """
    decoder_ids = ids.roll(1, dims=1)
    decoder_ids[:, 0] = start
    return ids.masked_fill(~present, IGNORE_INDEX), decoder_ids


def tokenize_targets(texts: Sequence[str], tokenizer: Any, prompts: Sequence[str] = ()) -> TokenizedSplit:
    """The tokens of answers without truncation, from the cache if available; prompts as for `tokenize`."""
    table = pa.table({TEXT_COLUMNS[0]: pa.array(texts, pa.string())})
    return tokenize(Split("answers", table, "answers", content_hash(table)), tokenizer, NO_LIMIT, prompts)
