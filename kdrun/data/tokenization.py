"""Tokenize a split once and read it memory-mapped from the cache."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from kdrun import progress, stage_times
from kdrun.config.prompt_template import PromptTemplate
from kdrun.data import arrow_arrays, disk_table, prompt_tokenization, template_tokenization
from kdrun.data.splits import TEXT_COLUMNS, Split
from kdrun.data.token_columns import TRUNCATED, token_columns
from kdrun.errors import ModelError
from kdrun.storage import cache, hashing

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

FORMAT = 1
"""Version of the file format; part of the cache key."""

CHUNK_ROWS = 8192
"""Rows tokenized at a time: enough to keep all cores busy, few enough to keep Python lists small."""

FILE = "tokens.arrow"
Prompts = Sequence[str] | PromptTemplate
"""The prompt before each text of a row, empty for a model without prompts; or a template for all texts of a row."""
IDS, TYPES, PROMPT = "input_ids", "token_type_ids", "prompt_mask"


class TokenizedSplit:
    """The token ids of a split, read from the Arrow file's own buffers; batches are the only copies.

    Attributes:
        lengths: tokens of each row, special tokens included, [rows].
        num_truncated: rows that the length limit cut; None if an older cache entry does not record it.
        fingerprint: hash of the rows, the tokenizer and the length limit, 24 hex digits.
    """

    def __init__(self, table: pa.Table, pad_id: int, pad_type: int, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        self._pads = {IDS: pad_id, TYPES: pad_type, PROMPT: 0}
        self._table = table  # keeps the memory map open
        # files of earlier versions have 32-bit offsets
        self._offsets = arrow_arrays.to_numpy(table.column(IDS).chunk(0).offsets).astype(np.int64)
        self._flat = {name: arrow_arrays.to_numpy(table.column(name).chunk(0).values) for name in table.column_names}
        self.lengths = np.diff(self._offsets).astype(np.int32)
        recorded = (table.schema.metadata or {}).get(TRUNCATED)
        self.num_truncated = None if recorded is None else int(recorded)

    @property
    def num_rows(self) -> int:
        """The number of examples."""
        return len(self.lengths)

    def ids(self, row: int) -> np.ndarray:
        """The token ids of one row, [length]."""
        return self._flat[IDS][self._offsets[row] : self._offsets[row + 1]]

    def select(self, rows: np.ndarray) -> TokenizedSplit:
        """A copy of some rows, by their numbers; it has no fingerprint, so that nothing on it is cached."""
        table = self._table.take(arrow_arrays.numbers(rows)).combine_chunks()
        return TokenizedSplit(table, self._pads[IDS], self._pads[TYPES], "")

    def batch(self, rows: np.ndarray, multiple: int = 1) -> dict[str, torch.Tensor]:
        """These rows, padded on the right to the longest of them.

        Args:
            rows: row numbers, [batch]; may contain repeats.
            multiple: round the length up to a multiple of this.

        Returns:
            `input_ids`, `attention_mask`, `token_type_ids` if the tokenizer uses them, and `prompt_mask` (1 on prompt
            tokens) if rows have prompts: int64, [batch, length].

        Raises:
            ValueError: there are no rows.
        """
        import torch

        if not len(rows):
            raise ValueError("a batch needs at least one row")
        lengths = self.lengths[rows]
        width = -(-int(lengths.max()) // multiple) * multiple
        columns = np.arange(width)
        mask = columns < lengths[:, None]
        indices = (self._offsets[rows][:, None] + columns)[mask]
        batch = {}
        for name, flat in self._flat.items():
            padded = np.full(mask.shape, self._pads[name], np.int64)
            padded[mask] = flat[indices]
            batch[name] = torch.from_numpy(padded)
        batch["attention_mask"] = torch.from_numpy(mask.astype(np.int64))
        return batch


class TextTokenizer:
    """Tokenizes the texts of a role.

    Truncation of pairs starts with the longer text; special tokens are those of the tokenizer's post-processor. Rows of
    a text-to-text model are `prompt text [prompt text] end`; only their texts are truncated.

    Args:
        tokenizer: a fast tokenizer of transformers.
        max_length: most tokens per row, special tokens included.
        prompts: the prompt before each text, for a text-to-text model; or the template of a prompted one.

    Raises:
        ModelError: the tokenizer is not a fast one, or has no padding token.
    """

    def __init__(self, tokenizer: Any, max_length: int, prompts: Prompts = ()) -> None:
        if tokenizer.pad_token_id is None:
            raise ModelError(f"{_name(tokenizer)} has no padding token, so rows cannot be put into one batch")
        self.tokenizer, self.max_length = tokenizer, max_length
        self.prompts = prompts if isinstance(prompts, PromptTemplate) else tuple(prompts)
        self._backend = _copy(tokenizer)

    def chunks(self, split: Split) -> Iterator[dict[str, np.ndarray]]:
        """The rows of a split in chunks: `lengths` and `truncated` [rows], and the flat values of each column.

        Raises:
            ModelError: prompts leave no room for text, or differ in number from the texts.
        """
        if isinstance(self.prompts, PromptTemplate):
            return template_tokenization.tokenize_in_template(
                split, self._backend, self.prompts, self.max_length, CHUNK_ROWS
            )
        if self.prompts:
            end = self.tokenizer.eos_token_id
            return prompt_tokenization.tokenize_with_prompts(
                split, self._backend, self.prompts, end, self.max_length, CHUNK_ROWS
            )
        self._backend.enable_truncation(
            self.max_length, strategy="longest_first", direction=self.tokenizer.truncation_side
        )
        return _chunks(split, self._backend, TYPES in self.tokenizer.model_input_names)

    def batch(self, texts: Sequence[tuple[str, ...]]) -> dict[str, torch.Tensor]:
        """Rows of one or two texts as one batch, as from `TokenizedSplit.batch`."""
        return self.tokenize(texts).batch(np.arange(len(texts)))

    def tokenize(self, texts: Sequence[tuple[str, ...]]) -> TokenizedSplit:
        """Rows of one or two texts, tokenized without the cache and so without a fingerprint."""
        return self.tokenize_columns([arrow_arrays.strings(column) for column in zip(*texts, strict=True)])

    def tokenize_columns(self, texts: Sequence[pa.Array]) -> TokenizedSplit:
        """Like `tokenize`, from a column per text."""
        columns = dict(zip(TEXT_COLUMNS, texts, strict=False))
        rows = self.chunks(Split("texts", pa.table(columns), "texts", ""))
        return self.to_split(pa.Table.from_batches([token_columns(rows)]), "")

    def to_split(self, table: pa.Table, fingerprint: str) -> TokenizedSplit:
        """Columns built from this tokenizer's chunks, with its padding."""
        return TokenizedSplit(table, self.tokenizer.pad_token_id, self.tokenizer.pad_token_type_id, fingerprint)

    def decode_texts(self, ids: Sequence[int], count: int) -> tuple[str, ...]:
        """The texts of a row without prompts: the tokens between end-of-text tokens.

        Args:
            ids: token ids without padding.
            count: number of texts per row.
        """
        end, special = self.tokenizer.eos_token_id, set(self.tokenizer.all_special_ids)
        texts: list[list[int]] = [[]]
        for token in ids:
            if token == end:
                texts.append([])
            elif token not in special:
                texts[-1].append(token)
        return tuple(self.tokenizer.decode(tokens).strip() for tokens in (texts + [[]] * count)[:count])


@stage_times.stage(stage_times.TOKENS)
def tokenize(split: Split, tokenizer: Any, max_length: int, prompts: Prompts = ()) -> TokenizedSplit:
    """The token ids of a split, from the cache if available; arguments and errors as for `TextTokenizer`."""
    text_tokenizer = TextTokenizer(tokenizer, max_length, prompts)
    key: dict[str, Any] = {
        "format": FORMAT,
        "rows": split.fingerprint,
        "tokenizer": tokenizer_fingerprint(tokenizer),
        "max_length": max_length,
    }
    if isinstance(prompts, PromptTemplate):
        key["template"] = prompts.text
    elif prompts:
        key["prompts"] = list(prompts)
    table, _ = cache.fetch(
        "tokens",
        key,
        lambda work: disk_table.write_batch(work / FILE, token_columns(_track(text_tokenizer.chunks(split), split))),
        lambda folder: pa.ipc.open_file(pa.memory_map(str(folder / FILE))).read_all(),
    )
    return text_tokenizer.to_split(table, hashing.digest(key)[:24])


def tokenizer_fingerprint(tokenizer: Any) -> str:
    """A hash of everything that determines a tokenizer's ids, 64 hex digits.

    Truncation and padding are left out: they are state of the last call.

    Raises:
        ModelError: the tokenizer is not a fast one.
    """
    state = json.loads(_backend_of(tokenizer).to_str())
    del state["truncation"], state["padding"]
    return hashing.digest(
        {
            "backend": state,
            "inputs": tokenizer.model_input_names,
            "truncation_side": tokenizer.truncation_side,
            "split_special_tokens": tokenizer.split_special_tokens,
        }
    )


def _backend_of(tokenizer: Any) -> Tokenizer:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ModelError(
            f"{_name(tokenizer)} is not a fast tokenizer; kdrun needs one with a tokenizer.json "
            "(AutoTokenizer.from_pretrained(…).save_pretrained(…) writes it if the tokenizer can be converted)"
        )
    return backend


def _name(tokenizer: Any) -> str:
    return f"the tokenizer {getattr(tokenizer, 'name_or_path', '') or type(tokenizer).__name__}"


def _copy(tokenizer: Any) -> Tokenizer:
    """A copy of the backend: truncation is part of its state, and the caller's tokenizer must not change."""
    from tokenizers import Tokenizer

    backend = Tokenizer.from_str(_backend_of(tokenizer).to_str())
    # a deep copy of a tokenizer loses this state of its backend until its first call
    backend.encode_special_tokens = tokenizer.split_special_tokens
    backend.no_padding()
    backend.no_truncation()
    return backend


def _track(chunks: Iterator[dict[str, np.ndarray]], split: Split) -> Iterator[dict[str, np.ndarray]]:
    """Yield the chunks of a split, and report the progress."""
    with progress.track(f"tokenizing {split.name}", split.num_rows) as activity:
        for chunk in chunks:
            num_rows = len(chunk["lengths"])
            yield chunk
            activity.advance(num_rows)


def _chunks(split: Split, backend: Tokenizer, with_types: bool) -> Iterator[dict[str, np.ndarray]]:
    for start in range(0, split.num_rows, CHUNK_ROWS):
        rows = _encode(backend, split, start)
        lengths = np.fromiter(map(len, rows), np.int32, len(rows))
        total = int(lengths.sum())
        columns: dict[str, np.ndarray] = {
            "lengths": lengths,
            # the tokens beyond the limit, which the tokenizer leaves with the row
            "truncated": np.fromiter((bool(row.overflowing) for row in rows), bool, len(rows)),
            IDS: np.fromiter(chain.from_iterable(map(attrgetter("ids"), rows)), np.int32, total),
        }
        if with_types:
            columns[TYPES] = np.fromiter(chain.from_iterable(map(attrgetter("type_ids"), rows)), np.int8, total)
        yield columns


def _encode(backend: Tokenizer, split: Split, start: int) -> list[Any]:
    rows = split.table.slice(start, CHUNK_ROWS)
    texts = rows.column("text").to_pylist()
    if split.is_pair:
        texts = list(zip(texts, rows.column("text_pair").to_pylist(), strict=True))
    # the fast variant omits the unused token offsets
    return backend.encode_batch_fast(texts)
