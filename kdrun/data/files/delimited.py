"""Read CSV and TSV files with Arrow, every value as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv

from kdrun.data.files.byte_checks import check_bytes
from kdrun.data.files.table_file import BLOCKS, TableFile, in_blocks, reading, unique_names
from kdrun.errors import DataError
from kdrun.formatting import escape_control

DELIMITERS = {"comma": ",", "tab": "\t", "semicolon": ";", "pipe": "|"}
"""Name in a config → delimiter."""
MAX_COLUMNS = 4096
MAX_SHOWN = 5
LONG_HEADER = 200
"""Characters of a column name beyond which the first line is no header."""


class DelimitedFile(TableFile):
    """A CSV or TSV file: a header line, quotes around fields as in RFC 4180.

    A TSV file with irregular quotes is read without quoting, as GLUE's are.

    Args:
        path: the file.
        delimiter: name of the delimiter; None follows from the suffix and the header.

    Raises:
        DataError: the file is not UTF-8 text, is empty, or has a quoted field that does not end where a field ends.
    """

    def __init__(self, path: Path, delimiter: str | None = None) -> None:
        self._path, self.origin = path, path.name
        with reading(self.origin):
            self._delimiter = DELIMITERS[delimiter] if delimiter else self._find_delimiter()
            facts = check_bytes(path, self.origin, self._delimiter)
            self._quote: str | bool = '"'
            if facts.bad_quote_line is not None:
                if self._delimiter != "\t":
                    raise DataError(
                        f"{self.origin} has a quote on line {facts.bad_quote_line} that opens a field and does not "
                        'close it at the end of the field; write "" for a quote inside a quoted field'
                    )
                self._quote = False
                self.notes += (f"{self.origin}: quotes are part of the text, since they do not enclose whole fields",)
            self._names = unique_names(self._header(self._delimiter, self._quote))
        self._num_lines = facts.num_lines

    @property
    def column_names(self) -> list[str]:
        """The names of the header line."""
        return self._names

    def _find_delimiter(self) -> str:
        """The delimiter of the suffix, or another one that splits a header of one column."""
        check_bytes(self._path, self.origin)
        usual = "\t" if self._path.suffix.lower() == ".tsv" else ","
        if len(self._header(usual, '"')) > 1:
            return usual
        others = [name for name, mark in DELIMITERS.items() if mark != usual and len(self._header(mark, '"')) > 1]
        if len(others) != 1:
            return usual
        self.notes += (f"{self.origin}: the header is separated by {others[0]}s (data.delimiter={others[0]})",)
        return DELIMITERS[others[0]]

    def _header(self, delimiter: str, quote: str | bool) -> list[str]:
        """The fields of the first line."""
        for size in (1 << 16, *BLOCKS):
            options = csv.ReadOptions(autogenerate_column_names=True, block_size=size, use_threads=False)
            try:
                with csv.open_csv(self._path, options, _parse(delimiter, quote, _skip), _as_text()) as reader:
                    first = reader.read_next_batch().slice(0, 1).to_pylist()
                    return [str(value) for value in first[0].values()] if first else []
            except (pa.ArrowInvalid, StopIteration) as error:
                if "straddling" not in str(error):
                    raise DataError(f"{self.origin} has no header line: {error}") from error
        raise DataError(f"{self.origin} has a row of more than {BLOCKS[-1]} bytes")

    def _schema(self, names: Sequence[str]) -> pa.Schema:
        return pa.schema([(name, pa.string()) for name in names])

    def _batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        num_rows = 0
        for batch in in_blocks(lambda size: self._parsed(names, size)):
            num_rows += batch.num_rows
            yield batch
        if self._num_lines == num_rows + 1:
            self.unit, self.first = "line", 2

    def _parsed(self, names: Sequence[str], block: int) -> Iterator[pa.RecordBatch]:
        """The columns of these names, parsed in blocks of a size in bytes.

        Raises:
            DataError: rows have another number of fields than the header.
        """
        wrong: list[Any] = []

        def refuse(row: Any) -> str:
            wrong.append(row)
            return "skip"

        all_names = [f"f{index}" for index in range(len(self._names))]  # names may repeat
        columns = [f"f{self._names.index(name)}" for name in names]
        # only one thread counts rows
        read = csv.ReadOptions(column_names=all_names, skip_rows_after_names=1, block_size=block, use_threads=False)
        parse = _parse(self._delimiter, self._quote, refuse)
        with csv.open_csv(self._path, read, parse, _convert(all_names, columns)) as reader:
            for batch in reader:
                if not wrong:
                    yield batch.rename_columns(list(names))
        if wrong:
            self._refuse(wrong)

    def _refuse(self, wrong: list[Any]) -> None:
        """Refuse rows with another number of fields than the header."""
        lines = [
            f"  - row {row.number - 1}: {row.actual_columns} fields, expected {row.expected_columns}: "
            f"{escape_control(row.text[:60])!r}"
            for row in wrong[:MAX_SHOWN]
        ]
        more = [f"  - … and {len(wrong) - MAX_SHOWN} more"] if len(wrong) > MAX_SHOWN else []
        name = next(name for name, mark in DELIMITERS.items() if mark == self._delimiter)
        raise DataError(
            "\n".join(
                [
                    f"{self.origin} has {len(wrong)} rows with another number of fields than its header "
                    f"(separated by {name}; row 1 is the first below the header):",
                    *lines,
                    *more,
                    "Rows are not dropped: put quotes around a field that contains the delimiter.",
                ]
            )
        )


def _parse(delimiter: str, quote: str | bool, handler: Any) -> csv.ParseOptions:
    return csv.ParseOptions(
        delimiter=delimiter, quote_char=quote, newlines_in_values=quote is not False, invalid_row_handler=handler
    )


def _skip(row: Any) -> str:
    return "skip"


@cache
def _as_text() -> csv.ConvertOptions:
    """Conversion of columns without names; kept, since a file is opened with several delimiters."""
    return _convert([f"f{index}" for index in range(MAX_COLUMNS)])


def _convert(names: Sequence[str], include: Sequence[str] | None = None) -> csv.ConvertOptions:
    """All values as text: `NA`, `null` and `01` are names like any other."""
    return csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        include_columns=include,
        strings_can_be_null=False,
        quoted_strings_can_be_null=False,
    )
