"""A file with rows and named columns, in any format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from kdrun.errors import DataError, did_you_mean
from kdrun.formatting import escape_control

BLOCKS = (1 << 20, 1 << 26, (1 << 31) - 1)
"""Bytes that Arrow parses at a time; a row that is longer needs a larger block."""
MAX_ROWS = 1 << 14
"""Rows per batch of a table in memory."""


class TableFile(ABC):
    """Rows of a file, read as Arrow columns.

    Attributes:
        origin: the file's name in messages.
        unit: unit of the number of a row in messages, `line` or `row`.
        first: number of the first row in that unit.
        notes: remarks on how the file was read, as sentences.
    """

    origin: str
    unit: str = "row"
    first: int = 1
    notes: tuple[str, ...] = ()

    @property
    @abstractmethod
    def column_names(self) -> list[str]:
        """The names of the columns in order; names may repeat."""

    @abstractmethod
    def _schema(self, names: Sequence[str]) -> pa.Schema:
        """The types of these columns, each of which exists once."""

    @abstractmethod
    def _batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The values of these columns, each of which exists once."""

    def class_names(self, column: str) -> list[str]:
        """Class names of an integer column, where the format stores them; else an empty list."""
        return []

    @property
    def num_rows(self) -> int | None:
        """Number of rows, where the format stores it."""
        return None

    @property
    def column_types(self) -> Mapping[str, pa.DataType]:
        """Types of the columns, where the format stores them."""
        return {}

    def batches(self, names: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The values of these columns in batches of rows, so that a file of any size fits into memory.

        Dictionaries are decoded and strings are `string`. There is at least one batch, which may be empty.

        Args:
            names: columns; None is all of them.

        Raises:
            DataError: a column is missing or exists twice, or the file is malformed.
        """
        names = list(dict.fromkeys(self.column_names if names is None else names))
        self.check_names(names)
        with reading(self.origin):
            schema, is_empty = self.schema(names), True
            for batch in self._batches(names):
                columns = [_plain(batch.column(name)) for name in names]
                yield pa.record_batch(columns, schema=schema)
                is_empty = False
            if is_empty:
                yield pa.record_batch([pa.array([], field.type) for field in schema], schema=schema)

    def schema(self, names: Sequence[str]) -> pa.Schema:
        """The types of these columns as in `batches`.

        Raises:
            DataError: the file is malformed.
        """
        with reading(self.origin):
            types = self._schema(names)
            return pa.schema([(name, _plain_type(types.field(name).type)) for name in names])

    def check_names(self, names: Sequence[str]) -> None:
        """Check that each of these columns exists once.

        Raises:
            DataError: one is missing or exists twice.
        """
        for name in names:
            count = self.column_names.count(name)
            if count != 1:
                problem = "lacks the column" if not count else "has more than one column"
                hint = "" if count else did_you_mean(name, self.column_names)
                listing = ", ".join(repr(escape_control(column[:40])) for column in self.column_names[:20])
                raise DataError(f"{self.origin} {problem} {name!r}{hint}; its columns: {listing or 'none'}")


@contextmanager
def reading(origin: str) -> Iterator[None]:
    """Turn errors of Arrow into an error that names the file."""
    try:
        yield
    except pa.ArrowException as error:
        raise DataError(f"{origin} cannot be read: {' '.join(str(error).split())[:300]}") from error


def unique_names(names: Sequence[str]) -> list[str]:
    """Column names without blanks at both ends; an empty one is named by its position."""
    return [name.strip() or f"column {index}" for index, name in enumerate(names, 1)]


def _plain(column: pa.Array) -> pa.Array:
    """A column without dictionary encoding; every type of text as `string`, and lists likewise."""
    return column.cast(_plain_type(column.type))


def _plain_type(data_type: pa.DataType) -> pa.DataType:
    if isinstance(data_type, pa.DictionaryType):
        data_type = data_type.value_type
    if is_text(data_type):
        return pa.string()
    if is_list(data_type):
        items: Any = data_type
        return pa.list_(_plain_type(items.value_type))
    return data_type


def is_text(data_type: pa.DataType) -> bool:
    """Whether a type holds text."""
    return pa.types.is_string(data_type) or pa.types.is_large_string(data_type) or pa.types.is_string_view(data_type)


def is_list(data_type: pa.DataType) -> bool:
    """Whether a type holds a list of values."""
    checks = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(check(data_type) for check in checks)


def in_blocks(parse: Callable[[int], Iterable[pa.RecordBatch]]) -> Iterator[pa.RecordBatch]:
    """The rows of a file that is parsed in blocks; a row that is longer than a block is read again in a larger one.

    Args:
        parse: all rows, by the size of a block in bytes.
    """
    num_rows = 0
    for size in BLOCKS:
        try:
            for batch in _after(num_rows, parse(size)):
                num_rows += batch.num_rows
                yield batch
            return
        except pa.ArrowInvalid as error:
            if "straddling" not in str(error) or size == BLOCKS[-1]:
                raise


def _after(count: int, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The rows after the first `count` ones."""
    for batch in batches:
        skipped = min(count, batch.num_rows)
        count -= skipped
        if skipped < batch.num_rows:
            yield batch.slice(skipped)


class ArrowTable(TableFile):
    """Rows that are Arrow columns already.

    Args:
        table: the rows.
        origin: their name in messages.
        class_names: class names of integer columns.
    """

    def __init__(
        self, table: pa.Table, origin: str, class_names: Mapping[str, list[str]] | None = None, unit: str = "row"
    ) -> None:
        self._table, self.origin, self._class_names, self.unit = table, origin, dict(class_names or {}), unit

    @property
    def column_names(self) -> list[str]:
        """The names of the columns."""
        return self._table.column_names

    def class_names(self, column: str) -> list[str]:
        """Class names of an integer column; empty if the column has none."""
        return self._class_names.get(column, [])

    def _schema(self, names: Sequence[str]) -> pa.Schema:
        return self._table.select(list(names)).schema

    def _batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        yield from self._table.select(list(names)).to_batches(MAX_ROWS)
