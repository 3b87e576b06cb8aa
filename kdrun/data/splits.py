"""Split of a task as an Arrow table with a content hash.

Texts and labels stay in Arrow columns: a split of a million rows is a few buffers, not a million objects.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute

from kdrun import rng
from kdrun.data import arrow_arrays, disk_table

pc: Any = compute
"""Arrow's functions; Arrow defines them at run time, invisible to a type checker."""

UNLABELED = "unlabelled"
"""Name of the split of unlabeled rows, in results too."""
NO_CLASS = -1
"""Class index of a row without a label, and every value of its label set; its score is NaN."""
NO_NUMBER = -1
"""Row number of a row that is not part of the split of this name."""
KEY_BYTES = 16
"""Bytes of the hash by which texts are compared."""
KEY_ROWS = 1 << 14
"""Rows whose texts are hashed at a time."""
SEPARATOR = "\x1f"
"""Joins the two texts of a pair for comparisons; occurs in no text."""


@dataclass(frozen=True)
class Split:
    """One split of a task; the row number is the example's id.

    Attributes:
        name: `train`, `dev`, `test`, `dev_mismatched`.
        table: columns `text` (string), `text_pair` (string; absent for single texts), `label` (int32 class index,
            float32 score, answer text, or a fixed-size list of int8 with 1 for each class of the row) and `domain`
            (int32 index into the task's domains; absent if rows have none).
        origin: the source, for messages, e.g. `SST-2/train.tsv`.
        fingerprint: sha256 of texts and labels, 64 hex digits; part of cache keys.
        notes: remarks on these rows for readers of a result, as sentences.
        synthetic: whether a grammar wrote the rows instead of people.
        row_numbers: number of each row in the split as its source gave it, [rows]; `NO_NUMBER` for rows of another
            split. None for a whole split.
    """

    name: str
    table: pa.Table
    origin: str
    fingerprint: str
    notes: tuple[str, ...] = ()
    synthetic: bool = False
    row_numbers: np.ndarray | None = field(default=None, compare=False, repr=False)

    @property
    def num_rows(self) -> int:
        """The number of examples."""
        return self.table.num_rows

    @property
    def is_pair(self) -> bool:
        """Whether an example is two texts."""
        return "text_pair" in self.table.column_names

    def labels(self) -> np.ndarray:
        """The labels: int32 class indices, float32 scores or texts, [rows], or int8 label sets, [rows, classes]."""
        column = self.table.column("label")
        if not pa.types.is_fixed_size_list(column.type):
            return arrow_arrays.to_numpy(column)
        return _values_of_lists(column).to_numpy().reshape(len(column), column.type.list_size)

    def domains(self) -> np.ndarray | None:
        """The rows' domains as indices into the task's, int32 [rows]; None if rows have no domain."""
        return arrow_arrays.to_numpy(self.table.column("domain")) if "domain" in self.table.column_names else None

    def row(self, i: int) -> dict[str, Any]:
        """Example number `i`: its `text`, `text_pair` (for pairs), `label` and `domain` (if rows have one).

        Raises:
            IndexError: there is no such row.
        """
        if not 0 <= i < self.num_rows:
            raise IndexError(f"{self.origin} has rows 0 … {self.num_rows - 1}, not {i}")
        return self.table.slice(i, 1).to_pylist()[0]

    def select(self, indices: np.ndarray) -> Split:
        """These rows, in this order, as a new split with its own fingerprint."""
        table = disk_table.take(self.table, indices)
        numbers = np.asarray(indices) if self.row_numbers is None else self.row_numbers[indices]
        return dataclasses.replace(self, table=table, fingerprint=content_hash(table), row_numbers=numbers)


def make_split(
    name: str,
    texts: list[pa.Array | pa.ChunkedArray],
    labels: pa.Array | pa.ChunkedArray | None,
    origin: str,
    notes: tuple[str, ...] = (),
    synthetic: bool = False,
    domains: pa.Array | pa.ChunkedArray | None = None,
) -> Split:
    """A split from its columns, for any source: blanks at both ends of texts are removed.

    Args:
        name: name of the split.
        texts: one column of strings, or two for pairs, [rows] each; without nulls.
        labels: class indices (any integer type), scores (any float type), texts, or label sets (see `label_sets`),
            [rows]; without nulls. None for unlabeled rows.
        origin: the source of the rows, for messages.
        notes: see `Split`.
        synthetic: see `Split`.
        domains: indices into the task's domains, [rows], if rows have a domain.
    """
    columns = {
        key: pc.utf8_trim_whitespace(text.cast(pa.string())) for key, text in zip(TEXT_COLUMNS, texts, strict=False)
    }
    return trimmed_split(name, pa.table(columns), labels, origin, notes, synthetic, domains)


def trimmed_split(
    name: str,
    texts: pa.Table,
    labels: pa.Array | pa.ChunkedArray | None,
    origin: str,
    notes: tuple[str, ...] = (),
    synthetic: bool = False,
    domains: pa.Array | pa.ChunkedArray | None = None,
) -> Split:
    """As `make_split`, for a table of `TEXT_COLUMNS` whose texts have no blanks at both ends."""
    table = texts
    if labels is not None:
        table = table.append_column("label", _labels(labels))
    if domains is not None:
        table = table.append_column("domain", domains.cast(pa.int32()))
    return Split(name, table, origin, content_hash(table), notes, synthetic)


def _labels(labels: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    if pa.types.is_string(labels.type) or pa.types.is_large_string(labels.type):
        return labels.cast(pa.string())
    if pa.types.is_fixed_size_list(labels.type):
        return label_sets(_values_of_lists(labels).to_numpy().reshape(len(labels), labels.type.list_size))
    label_type = pa.int32() if pa.types.is_integer(labels.type) else pa.float32()
    # a score such as 2.1 has no exact float32: it is rounded
    return labels.cast(label_type, safe=pa.types.is_integer(label_type))


def label_sets(labels: np.ndarray) -> pa.FixedSizeListArray:
    """The label column of a multi-label task.

    Args:
        labels: 1 for each class of the row, else 0, [rows, classes].

    Raises:
        ValueError: a value is neither 0 nor 1.
    """
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"label sets have values 0 and 1, got {np.setdiff1d(labels, (0, 1))[:5].tolist()}")
    values = pa.array(np.ascontiguousarray(labels, np.int8).ravel())
    return pa.FixedSizeListArray.from_arrays(values, labels.shape[1])


def _values_of_lists(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """The values of fixed-size lists one after another, [rows · size].

    Raises:
        ValueError: a list or a value is null.
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    values = array.flatten()  # leaves out null lists
    if values.null_count or array.null_count:
        raise ValueError("label sets must have no null")
    return values


TEXT_COLUMNS = ("text", "text_pair")


def content_hash(table: pa.Table) -> str:
    """The sha256 of a table's column names, types and values, 64 hex digits, independent of its chunks."""
    state = hashlib.sha256()
    for name in table.column_names:
        column = table.column(name)
        state.update(f"{name}\x00{column.type}\x00{len(column)}\x00".encode())
        if pa.types.is_string(column.type):
            # lengths first, so that moving a letter between neighboring rows changes the hash
            state.update(arrow_arrays.to_numpy(pc.binary_length(column)).astype("<i4").tobytes())
            for chunk in column.chunks:
                state.update(_string_bytes(chunk))
            disk_table.release_memory()
        elif pa.types.is_fixed_size_list(column.type):
            state.update(np.ascontiguousarray(_values_of_lists(column).to_numpy()).data)
        else:
            state.update(np.ascontiguousarray(arrow_arrays.to_numpy(column)).data)
    return state.hexdigest()


def _string_bytes(chunk: pa.StringArray) -> memoryview:
    _, offsets, data = chunk.buffers()
    if data is None or not len(chunk):
        return memoryview(b"")
    ends = np.frombuffer(offsets, np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
    return memoryview(data)[int(ends[0]) : int(ends[-1])]


def mix_unlabeled(labeled: Split, unlabeled: Split) -> Split:
    """Labeled rows and then unlabeled ones, as one split with missing labels.

    Args:
        labeled: rows with class indices, label sets or scores.
        unlabeled: rows of the same text columns.
    """
    label = labeled.table.column("label")
    table = unlabeled.table.append_column("label", _missing_labels(label.type, unlabeled.num_rows))
    mixed = pa.concat_tables([labeled.table, table])
    numbers = np.arange(labeled.num_rows) if labeled.row_numbers is None else labeled.row_numbers
    numbers = np.concatenate([numbers, np.full(unlabeled.num_rows, NO_NUMBER)])
    return dataclasses.replace(labeled, table=mixed, fingerprint=content_hash(mixed), row_numbers=numbers)


def _missing_labels(label_type: pa.DataType, count: int) -> pa.Array:
    if isinstance(label_type, pa.FixedSizeListType):
        values = pa.array(np.full(count * label_type.list_size, NO_CLASS, np.int8))
        return pa.FixedSizeListArray.from_arrays(values, type=label_type)
    return pa.array(
        np.full(count, NO_CLASS, np.int32) if pa.types.is_integer(label_type) else np.full(count, np.nan, np.float32)
    )


def subset(split: Split, max_rows: int, seed: int) -> Split:
    """A seeded random subset in the original order; the whole split if it is no larger.

    A smaller subset of the same seed is contained in a larger one, so curves over `max_rows` only add rows.
    """
    if max_rows >= split.num_rows:
        return split
    order = rng.numpy_stream(seed, "subset").permutation(split.num_rows)
    return split.select(np.sort(order[:max_rows]))


def count_overlap(train: Split, dev: Split) -> int:
    """The number of `dev` rows whose text(s) also appear in `train`."""
    return int(pc.sum(pc.is_in(text_keys(dev), value_set=text_keys(train))).as_py() or 0)


def text_keys(split: Split) -> pa.FixedSizeBinaryArray:
    """A hash of the text(s) of each row, to compare rows by: 16 bytes per row in memory, not its text, [rows]."""
    texts = (text for start in range(0, split.num_rows, KEY_ROWS) for text in _joined_texts(split, start))
    keys = text_key_array(texts, split.num_rows)
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(KEY_BYTES), split.num_rows, [None, pa.py_buffer(keys)])


def text_key_array(texts: Iterable[str], count: int) -> np.ndarray:
    """Hashes of the texts of rows (both texts of a pair, joined by `SEPARATOR`), [rows] of 16 bytes."""
    return np.fromiter(map(_text_key, texts), dtype=f"S{KEY_BYTES}", count=count)


def _text_key(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest()


def _joined_texts(split: Split, start: int) -> list[str]:
    """The texts of some rows, those of a pair as one string."""
    rows = split.table.slice(start, KEY_ROWS)
    texts = rows.column("text")
    if split.is_pair:
        texts = pc.binary_join_element_wise(texts, rows.column("text_pair"), SEPARATOR)
    if start:
        disk_table.release_memory()
    return texts.to_pylist()


def distinct_texts(split: Split) -> tuple[np.ndarray, np.ndarray]:
    """A number per different text, and the first row of each.

    Returns:
        The number of each row's text, [rows]; the first row with each text, [texts].
    """
    codes = text_keys(split).dictionary_encode().indices.to_numpy(zero_copy_only=False)
    _, first = np.unique(codes, return_index=True)
    return codes, first
