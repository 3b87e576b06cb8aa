"""Tokenize rows with prompts for text-to-text models; only the text is truncated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from kdrun.data.splits import TEXT_COLUMNS, Split
from kdrun.errors import ModelError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def tokenize_with_prompts(
    split: Split, backend: Tokenizer, prompts: Sequence[str], end: int | None, max_length: int, size: int
) -> Iterator[dict[str, np.ndarray]]:
    """Token ids and prompt masks of a split, in chunks.

    Args:
        split: the rows.
        backend: a tokenizer without truncation and padding.
        prompts: one per text of a row.
        end: id of the end-of-text token.
        max_length: most tokens per row, prompts and end included.
        size: rows per chunk.

    Yields:
        `lengths` and `truncated` [rows], and flat `input_ids` and `prompt_mask` of all rows; the mask is 1 on prompt
        tokens.

    Raises:
        ModelError: the tokenizer has no end token, prompts and texts differ in number, or prompts leave no room.
    """
    columns = TEXT_COLUMNS[: 1 + split.is_pair]
    if end is None:
        raise ModelError(
            "the tokenizer of a text-to-text model needs an end-of-text token, and this one has no eos token"
        )
    if len(prompts) != len(columns):
        raise ModelError(f"{len(prompts)} prompts ({', '.join(prompts)}) for rows of {len(columns)} texts")
    prompt_ids = _prompt_ids(backend, prompts)
    room = max_length - sum(map(len, prompt_ids)) - 1
    if room < len(columns):
        raise ModelError(
            f"the prompts {' … '.join(prompts)} and the end of text take {max_length - room} tokens, and "
            f"data.max_length={max_length} leaves no room for text; raise data.max_length"
        )
    for start in range(0, split.num_rows, size):
        rows = split.table.slice(start, size)
        texts = [[e.ids for e in _encode(backend, rows.column(name).to_pylist())] for name in columns]
        ids, marks, lengths, truncated = [], [], [], []
        for row in zip(*texts, strict=True):
            sizes = truncation_lengths([len(text) for text in row], room)
            truncated.append(sum(sizes) < sum(map(len, row)))
            pieces = [
                part for prompt, text, n in zip(prompt_ids, row, sizes, strict=True) for part in (prompt, text[:n])
            ]
            ids.append(list(chain(*pieces, [end])))
            marks.append([int(i % 2 == 0) for i, part in enumerate(pieces) for _ in part] + [0])
            lengths.append(len(ids[-1]))
        yield {
            "lengths": np.array(lengths, np.int32),
            "truncated": np.array(truncated, bool),
            "input_ids": np.fromiter(chain(*ids), np.int32, sum(lengths)),
            "prompt_mask": np.fromiter(chain(*marks), np.int8, sum(lengths)),
        }


def truncation_lengths(lengths: list[int], room: int) -> list[int]:
    """Number of tokens to keep per text: the longer of two is cut first, to the length of the other, then both."""
    if len(lengths) == 1:
        return [min(lengths[0], room)]
    if sum(lengths) <= room:
        return lengths
    short = min(*lengths, room // 2)
    return [short, room - short] if lengths[0] <= lengths[1] else [room - short, short]


def _prompt_ids(backend: Tokenizer, prompts: Sequence[str]) -> list[list[int]]:
    """Token ids per prompt; strings of special tokens are those tokens, also if texts are read without."""
    splits_texts, backend.encode_special_tokens = backend.encode_special_tokens, False
    ids = [backend.encode(prompt, add_special_tokens=False).ids for prompt in prompts]
    backend.encode_special_tokens = splits_texts
    return ids


def _encode(backend: Tokenizer, texts: list[str]) -> list:
    return backend.encode_batch_fast(texts, add_special_tokens=False)
