"""Strings of special tokens in the texts of a task."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from kdrun.data import arrow_arrays
from kdrun.data.splits import TEXT_COLUMNS, Split, pc

MAX_ALTERNATIVES = 500
"""Strings per regular expression: few enough for the memory limit of Arrow's RE2."""

MAX_EXAMPLES = 3
"""Strings that a note names."""


def split_special_tokens(tokenizer: Any) -> None:
    """Make a tokenizer read strings of special tokens as plain text, as does its saved copy.

    Args:
        tokenizer: a fast tokenizer of transformers; changed in place.
    """
    tokenizer.split_special_tokens = True
    tokenizer.backend_tokenizer.encode_special_tokens = True
    tokenizer.init_kwargs["split_special_tokens"] = True  # written by save_pretrained


def special_strings(tokenizer: Any) -> list[str]:
    """The strings of all special tokens of a tokenizer, sorted, the longest first."""
    tokens = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    return sorted((tokens | set(tokenizer.all_special_tokens)) - {""}, key=lambda token: (-len(token), token))


def rows_with_strings(split: Split, strings: list[str]) -> np.ndarray:
    """Numbers of the rows with one of these strings in a text, ascending."""
    matches = np.zeros(split.num_rows, bool)
    for start in range(0, len(strings), MAX_ALTERNATIVES):
        pattern = "|".join(map(re.escape, strings[start : start + MAX_ALTERNATIVES]))
        for name in TEXT_COLUMNS[: 1 + split.is_pair]:
            matches |= arrow_arrays.to_numpy(pc.match_substring_regex(split.table.column(name), pattern))
    return np.flatnonzero(matches)


def count_rows(splits: Mapping[str, Split], tokenizer: Any) -> dict[str, int]:
    """Rows per split whose texts contain strings of special tokens; without splits that have none."""
    strings = special_strings(tokenizer)
    counts = {name: len(rows_with_strings(split, strings)) for name, split in splits.items()}
    return {name: count for name, count in counts.items() if count}


def special_token_note(role: str, splits: Mapping[str, Split], tokenizer: Any) -> str | None:
    """How many rows have strings of special tokens in their texts, as a note; None if there are none.

    Args:
        role: role of the model.
        splits: the rows that it reads, by split.
        tokenizer: its tokenizer.
    """
    pattern_strings = special_strings(tokenizer)
    rows = {name: rows_with_strings(split, pattern_strings) for name, split in splits.items()}
    rows = {name: numbers for name, numbers in rows.items() if len(numbers)}
    if not rows:
        return None
    counts = ", ".join(f"{len(numbers)} of {splits[name].num_rows} {name} rows" for name, numbers in rows.items())
    examples = ", ".join(_most_frequent({name: splits[name].select(rows[name]) for name in rows}, pattern_strings))
    effect = (
        "read as plain text (data.special_tokens=split)"
        if tokenizer.split_special_tokens
        else "read as these tokens; data.special_tokens=split reads them as plain text"
    )
    return f"{counts} contain special tokens of the {role}'s tokenizer as text ({examples}), {effect}"


def _most_frequent(splits: Mapping[str, Split], strings: list[str]) -> list[str]:
    """The most frequent of these strings, and how many others occur."""
    pattern, counts = re.compile("|".join(map(re.escape, strings))), Counter[str]()
    for split in splits.values():
        for name in TEXT_COLUMNS[: 1 + split.is_pair]:
            for text in split.table.column(name).to_pylist():
                counts.update(pattern.findall(text))
    names = [name for name, _ in counts.most_common(MAX_EXAMPLES)]
    return names + ([f"{len(counts) - MAX_EXAMPLES} more"] if len(counts) > MAX_EXAMPLES else [])
