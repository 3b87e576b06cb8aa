"""A file with rows and named columns, in any format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pyarrow as pa

from kdrun.errors import DataError, did_you_mean
from kdrun.formatting import escape_control


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
    def _read(self, names: Sequence[str]) -> pa.Table:
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

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All columns in batches of rows, so that a file of any size fits into memory.

        Raises:
            DataError: two columns have one name, or the file is malformed.
        """
        yield from self.read().to_batches()

    def read(self, names: Sequence[str] | None = None) -> pa.Table:
        """The values of these columns, dictionaries decoded and strings as `string`; None is all columns.

        Raises:
            DataError: a column is missing or exists twice, or the file is malformed.
        """
        names = list(dict.fromkeys(self.column_names if names is None else names))
        self.check_names(names)
        with reading(self.origin):
            table = self._read(names)
            return pa.table({name: _plain(table.column(name)) for name in names})

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


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column without dictionary encoding; every type of text as `string`, and lists likewise."""
    if isinstance(column.type, pa.DictionaryType):
        column = column.cast(column.type.value_type)
    if is_text(column.type):
        return column.cast(pa.string())
    if is_list(column.type):
        items = column.type.value_type
        items = items.value_type if isinstance(items, pa.DictionaryType) else items
        return column.cast(pa.list_(pa.string() if is_text(items) else items))
    return column


def is_text(data_type: pa.DataType) -> bool:
    """Whether a type holds text."""
    return pa.types.is_string(data_type) or pa.types.is_large_string(data_type) or pa.types.is_string_view(data_type)


def is_list(data_type: pa.DataType) -> bool:
    """Whether a type holds a list of values."""
    checks = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(check(data_type) for check in checks)


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

    def _read(self, names: Sequence[str]) -> pa.Table:
        return self._table.select(list(names))
