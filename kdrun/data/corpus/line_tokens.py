"""Tokenize corpus lines in several processes into memory-mapped Arrow files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

from kdrun import progress
from kdrun.data.corpus import line_ranges, workers
from kdrun.data.corpus.corpora import Corpus
from kdrun.data.token_columns import row_offsets
from kdrun.data.tokenization import tokenizer_fingerprint
from kdrun.errors import ModelError
from kdrun.storage import cache

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FORMAT = 1
"""Version of the rules in this module; part of the cache key."""

CHUNK_LINES = 4096
"""Lines that are tokenized together."""
IDS = "input_ids"


class LineTokens:
    """Token ids of lines, read from memory-mapped Arrow files in order of their names.

    Attributes:
        lengths: tokens of each row, special tokens included, [rows].
    """

    def __init__(self, folder: Path) -> None:
        columns = [_read(path) for path in sorted(folder.glob("*.arrow"))]
        self._ids = [column.values.to_numpy() for column in columns]
        self._offsets = [column.offsets.to_numpy() for column in columns]
        self._first_rows = np.cumsum([0, *(len(column) for column in columns)])
        self.lengths = np.concatenate([np.diff(offsets).astype(np.int32) for offsets in self._offsets])

    def row(self, number: int) -> np.ndarray:
        """The token ids of a row, [length]."""
        file = int(np.searchsorted(self._first_rows, number, "right")) - 1
        start, stop = self._offsets[file][number - self._first_rows[file] :][:2]
        return self._ids[file][start:stop]


def tokenize_lines(
    corpus: Corpus, tokenizer: PreTrainedTokenizerBase, num_lines: int, max_length: int, processes: int | None = None
) -> LineTokens:
    """The token ids of the first lines of a corpus, from the cache if available.

    Args:
        corpus: the text.
        tokenizer: of the model; lines that it turns into special tokens alone are left out.
        num_lines: most lines to read.
        max_length: tokens per row, special tokens included.
        processes: by default one per usable CPU; without influence on the result.

    Raises:
        ModelError: no line has a word, or the tokenizer is not a fast one.
        DataError: the corpus cannot be read.
    """
    key = {
        "format": FORMAT,
        "corpus": corpus.fingerprint,
        "tokenizer": tokenizer_fingerprint(tokenizer),
        "num_lines": num_lines,
        "max_length": max_length,
    }

    def build(folder: Path) -> None:
        num_rows = 0
        tasks = _tasks(corpus, tokenizer, num_lines, max_length, folder)
        with progress.track("tokenizing the corpus", unit="lines") as activity:
            for lines, rows in workers.map_in_order(write_tokens, tasks, processes):
                num_rows += rows
                activity.advance(lines)
        if not num_rows:
            raise ModelError(f"the corpus {corpus.name} has no words for pretraining; give another: corpus.dir=PATH")

    return cache.fetch("corpus_tokens", key, build, LineTokens)[0]


@dataclass(frozen=True)
class TokenizingTask:
    """Lines to tokenize into a file.

    Attributes:
        texts: the lines.
        backend: the tokenizer, as JSON.
        split_special_tokens: whether strings of special tokens are plain text; no part of the JSON.
        path: of the file.
    """

    texts: list[str]
    backend: str
    split_special_tokens: bool
    path: Path


def _tasks(
    corpus: Corpus, tokenizer: PreTrainedTokenizerBase, num_lines: int, max_length: int, folder: Path
) -> Iterator[TokenizingTask]:
    source: Any = tokenizer.backend_tokenizer  # pyright: ignore[reportAttributeAccessIssue]
    backend = Tokenizer.from_str(source.to_str())
    backend.enable_truncation(max_length, strategy="longest_first", direction=tokenizer.truncation_side)
    backend.no_padding()
    state, split = backend.to_str(), bool(tokenizer.split_special_tokens)
    lines = islice(corpus.lines(), num_lines)
    for number, part in enumerate(line_ranges.text_ranges(lines)):
        yield TokenizingTask(part.texts, state, split, folder / f"{number:06}.arrow")


def write_tokens(task: TokenizingTask) -> tuple[int, int]:
    """Write the token ids of lines to a file; return the numbers of lines and of rows with a word."""
    backend = _backend(task.backend, task.split_special_tokens)
    pieces: list[np.ndarray] = []
    lengths: list[int] = []
    for start in range(0, len(task.texts), CHUNK_LINES):
        for encoding in backend.encode_batch_fast(task.texts[start : start + CHUNK_LINES]):
            if len(encoding) > 2:
                pieces.append(np.array(encoding.ids, np.int32))
                lengths.append(len(encoding))
    ids = np.concatenate(pieces) if pieces else np.zeros(0, np.int32)
    # 64-bit offsets: a file of long lines may have more than 2³¹ tokens
    column = pa.LargeListArray.from_arrays(pa.array(row_offsets(np.array(lengths, np.int64))), pa.array(ids))
    batch = pa.RecordBatch.from_pydict({IDS: column})
    with pa.ipc.new_file(str(task.path), batch.schema) as writer:
        writer.write_batch(batch)
    return len(task.texts), len(lengths)


@lru_cache(1)
def _backend(state: str, split_special_tokens: bool) -> Tokenizer:
    backend = Tokenizer.from_str(state)
    backend.encode_special_tokens = split_special_tokens
    return backend


def _read(path: Path) -> pa.LargeListArray:
    """The column of a file. The mapping outlives the open file, so that any number of files can be mapped."""
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).get_batch(0).column(0)
