"""Tokenize rows in a prompt template; only the texts are truncated."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from kdrun.config.prompt_template import PromptTemplate
from kdrun.data.prompt_tokenization import truncation_lengths
from kdrun.data.splits import TEXT_COLUMNS, Split
from kdrun.errors import ModelError
from kdrun.formatting import shorten

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PROBE = "a"


def tokenize_in_template(
    split: Split, backend: Tokenizer, template: PromptTemplate, max_length: int, size: int
) -> Iterator[dict[str, np.ndarray]]:
    """Token ids of the filled template per row, in chunks; nothing follows the prompt.

    The prompt is tokenized as a whole, as the model has seen text in its training, after the tokenizer's tokens for the
    start of a text. A long text is cut at the end of a token, the longer one of two first.

    Args:
        split: the rows.
        backend: a tokenizer without truncation and padding.
        template: the template.
        max_length: most tokens per row.
        size: rows per chunk.

    Yields:
        `lengths` and `truncated` [rows], and the flat `input_ids` of all rows.

    Raises:
        ModelError: the template leaves no room for text.
    """
    start, columns = start_ids(backend), TEXT_COLUMNS[: 1 + split.is_pair]
    room = max_length - len(start)
    fixed = len(backend.encode(template.fill([""] * len(columns)), add_special_tokens=False).ids)
    if room - fixed < len(columns):
        raise ModelError(
            f"the prompt {shorten(template.text, 60)!r} takes {fixed + len(start)} tokens, and "
            f"data.max_length={max_length} leaves no room for text; raise data.max_length"
        )
    for first in range(0, split.num_rows, size):
        rows = split.table.slice(first, size)
        texts = list(zip(*(rows.column(name).to_pylist() for name in columns), strict=True))
        encoded = backend.encode_batch_fast([template.fill(row) for row in texts], add_special_tokens=False)
        ids = [row.ids for row in encoded]
        too_long = np.array([len(row) > room for row in ids])
        for i in np.flatnonzero(too_long).tolist():
            ids[i] = _truncated(backend, template, texts[i], room, room - fixed)
        lengths = np.array([len(start) + len(row) for row in ids], np.int32)
        yield {
            "lengths": lengths,
            "truncated": too_long,
            "input_ids": np.fromiter(chain.from_iterable((*start, *row) for row in ids), np.int32, int(lengths.sum())),
        }


def start_ids(backend: Tokenizer) -> list[int]:
    """Tokens that the tokenizer puts before a text; empty without any."""
    with_special, plain = (backend.encode(PROBE, add_special_tokens=flag).ids for flag in (True, False))
    for i in range(len(with_special) - len(plain) + 1):
        if with_special[i : i + len(plain)] == plain:
            return with_special[:i]
    return []


def _truncated(
    backend: Tokenizer, template: PromptTemplate, texts: tuple[str, ...], room: int, budget: int
) -> list[int]:
    """Token ids of the template with texts cut until the prompt fits.

    Args:
        backend: the tokenizer.
        template: the template.
        texts: of the row.
        room: most tokens of the prompt.
        budget: tokens for the texts at first; fewer if tokens at their borders take more room.
    """
    ends = [[end for _, end in backend.encode(text, add_special_tokens=False).offsets] for text in texts]
    while True:
        sizes = truncation_lengths([len(text_ends) for text_ends in ends], budget)
        cut = [
            text[: text_ends[count - 1]] if count else ""
            for text, text_ends, count in zip(texts, ends, sizes, strict=True)
        ]
        ids = backend.encode(template.fill(cut), add_special_tokens=False).ids
        if len(ids) <= room or budget <= 0:
            return ids[:room]
        budget -= len(ids) - room
        budget = max(budget, 0)
