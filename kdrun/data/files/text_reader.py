"""Read and check the text columns of a file in batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from kdrun.data.files.columns import Columns
from kdrun.data.files.table_file import TableFile, is_text
from kdrun.data.row_checks import RowProblems, empty_texts
from kdrun.data.splits import TEXT_COLUMNS, pc
from kdrun.errors import DataError


@dataclass(frozen=True)
class TextFaults:
    """Faults of the texts of rows, [rows, texts] each.

    Attributes:
        is_empty: whether a text is missing or only blanks.
        is_missing: whether a text is missing.
        has_nul: whether a text has a NUL character.
    """

    is_empty: np.ndarray
    is_missing: np.ndarray
    has_nul: np.ndarray

    @property
    def is_blank(self) -> np.ndarray:
        """Whether a row has no text at all, [rows]."""
        return np.logical_and.reduce(self.is_empty, axis=1)

    def __getitem__(self, keep: np.ndarray) -> TextFaults:
        """The faults of some of the rows."""
        return TextFaults(self.is_empty[keep], self.is_missing[keep], self.has_nul[keep])

    def report(self, problems: RowProblems, names: list[str], numbers: np.ndarray) -> tuple[str, ...]:
        """Add rows without text, missing texts of pairs, and NUL characters; return a note on half-empty pairs.

        Args:
            problems: of the file.
            names: the text columns.
            numbers: number of each row in messages.
        """
        for column, name in enumerate(names):
            problems.add(self.has_nul[:, column], numbers, iter([f"{name} has a NUL character"] * problems.max_shown))
            if len(names) > 1:
                problems.add(self.is_missing[:, column], numbers, iter([f"{name} is missing"] * problems.max_shown))
        return empty_texts(problems, list(self.is_empty.T), numbers)


class TextReader:
    """Reads text columns and checks them on the way; label columns are collected.

    Args:
        file: the file.
        columns: its text and label columns.
    """

    def __init__(self, file: TableFile, columns: Columns) -> None:
        self._file, self._columns = file, columns
        self._faults: list[TextFaults] = []
        self._labels: list[pa.RecordBatch] = []

    @property
    def schema(self) -> pa.Schema:
        """Of the batches of texts."""
        return pa.schema([(key, pa.string()) for key in TEXT_COLUMNS[: len(self._columns.text)]])

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The texts without blanks at both ends; missing ones are empty.

        Raises:
            DataError: a column is missing or has no text, or the file is malformed.
        """
        for batch in self._file.batches(self._columns.names):
            texts = [self._text_column(batch, name) for name in self._columns.text]
            trimmed = [pc.fill_null(pc.utf8_trim_whitespace(text), "") for text in texts]
            self._faults.append(
                TextFaults(
                    _stacked([pc.equal(text, "") for text in trimmed]),
                    _stacked([text.is_null() for text in texts]),
                    _stacked([pc.fill_null(pc.match_substring(text, "\0"), False) for text in texts]),
                )
            )
            self._labels.append(batch.select(self._columns.label))
            yield pa.record_batch(trimmed, schema=self.schema)

    def _text_column(self, batch: pa.RecordBatch, name: str) -> pa.Array:
        column = batch.column(name)
        if pa.types.is_null(column.type):
            column = column.cast(pa.string())
        if not is_text(column.type):
            raise DataError(
                f"{self._file.origin}: the text column {name!r} has values of type {column.type}; choose a column of "
                "text with 'task.text=[COLUMN]'"
            )
        return column

    def label_table(self) -> pa.Table:
        """The label columns of all batches."""
        return pa.Table.from_batches(self._labels)

    def faults(self) -> TextFaults:
        """The faults of all batches."""
        parts = zip(*((part.is_empty, part.is_missing, part.has_nul) for part in self._faults), strict=True)
        return TextFaults(*map(np.concatenate, parts))


def _stacked(columns: list[pa.Array]) -> np.ndarray:
    return np.stack([column.to_numpy(zero_copy_only=False) for column in columns], axis=1)
