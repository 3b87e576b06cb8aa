"""Target sequences for text-to-text models: labels and decoder inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from kdrun.data.splits import TEXT_COLUMNS, Split, content_hash
from kdrun.data.tokenization import TokenizedSplit, tokenize

if TYPE_CHECKING:
    import torch

IGNORE_INDEX = -100
"""Stands in labels where an answer is over, as in transformers."""
UNCUT = 1_000_000
"""More tokens than an answer has."""


@dataclass(frozen=True)
class TargetSequences:
    """One answer a row.

    Attributes:
        tokens: of the answers, their end included.
        start: id of the token that a decoder's input begins with.
        limit: tokens of an answer beyond this are left out; such an answer has no end, so none is learnt.
        gold: whether the answers are the task's, not a teacher's.
    """

    tokens: TokenizedSplit
    start: int
    limit: int
    gold: bool

    @property
    def num_rows(self) -> int:
        """How many answers there are."""
        return self.tokens.num_rows

    @property
    def num_cut(self) -> int:
        """How many answers are longer than the limit."""
        return int((self.tokens.lengths > self.limit).sum())

    @property
    def fingerprint(self) -> str:
        """Changes with the answers, the vocabulary and the limit."""
        return f"{self.tokens.fingerprint}/{self.limit}"

    def batch(self, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """What is to be written and what the decoder reads, teacher-forced.

        Returns:
            `labels`, token ids with -100 behind an answer's end, and `decoder_input_ids`, the same one place later
            behind the start token: int64, [batch, length] each.
        """
        batch = self.tokens.batch(rows)
        ids, present = batch["input_ids"][:, : self.limit], batch["attention_mask"][:, : self.limit].bool()
        return shift_right(ids, present, self.start)


def shift_right(ids: torch.Tensor, present: torch.Tensor, start: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Answers as they are to be written and as a decoder reads them, teacher-forced.

    Args:
        ids: of the answers, their ends included, [batch, length].
        present: which of these belong to an answer, [batch, length] bool.
        start: id that a decoder's input begins with.

    Returns:
        As `Targets.batch`.
    """
    read = ids.roll(1, dims=1)
    read[:, 0] = start
    return ids.masked_fill(~present, IGNORE_INDEX), read


def tokenize_targets(texts: Sequence[str], tokenizer: Any) -> TokenizedSplit:
    """The tokens of answers, none of them cut, from the cache where they are there."""
    table = pa.table({TEXT_COLUMNS[0]: pa.array(texts, pa.string())})
    return tokenize(Split("answers", table, "answers", content_hash(table)), tokenizer, UNCUT)
