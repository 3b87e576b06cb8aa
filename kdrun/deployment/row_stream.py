"""Read the rows of a file or of standard input in chunks."""

from __future__ import annotations

import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfileobj
from typing import Any

import pyarrow as pa

from kdrun.data.files.byte_checks import BOM
from kdrun.data.files.open_file import check_exists, open_file
from kdrun.data.files.table_file import TableFile
from kdrun.errors import ConfigError, DataError
from kdrun.storage import json_reader

CHUNK_ROWS = 4096
"""Rows that are sorted by length together and are in memory at once."""
CHUNK_CHARACTERS = 1 << 24
"""Characters of texts from which a chunk has fewer rows."""
STDIN = Path("-")
TEXT_COLUMN = "text"
SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".txt": "txt"}


@dataclass(frozen=True)
class Chunk:
    """Rows of a file.

    Attributes:
        rows: columns of each row.
        numbers: number of each row in the file, from 1.
        unit: unit of the numbers, `line` or `row`.
    """

    rows: list[dict[str, Any]]
    numbers: Sequence[int]
    unit: str


class RowStream(ABC):
    """Rows of a file in order, in constant memory.

    Attributes:
        origin: name of the file in messages.
        names: its columns; of JSON lines those of the first row.
        types: types of its columns, where the format has types.
        num_rows: number of rows; None if the file does not tell.
        unit: unit of the numbers of rows, `line` or `row`.
        fixed_columns: whether every row has these columns and no others.
    """

    names: list[str]
    types: Mapping[str, pa.DataType] = {}
    num_rows: int | None = None
    unit: str = "row"
    fixed_columns: bool = True

    def __init__(self, origin: str) -> None:
        self.origin = origin

    @abstractmethod
    def numbered_rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The number and the columns of each row.

        Raises:
            DataError: a row is damaged; names it.
        """

    def chunks(self) -> Iterator[Chunk]:
        """The rows in chunks of `CHUNK_ROWS`, or fewer long ones.

        Raises:
            DataError: a row is damaged; names it.
        """
        rows: list[dict[str, Any]] = []
        numbers: list[int] = []
        size = 0
        for number, row in self.numbered_rows():
            rows.append(row)
            numbers.append(number)
            size += sum(len(value) for value in row.values() if isinstance(value, str))
            if len(rows) == CHUNK_ROWS or size >= CHUNK_CHARACTERS:
                yield Chunk(rows, numbers, self.unit)
                rows, numbers, size = [], [], 0
        if rows:
            yield Chunk(rows, numbers, self.unit)


class TableStream(RowStream):
    """Rows of a CSV, TSV or Parquet file.

    Args:
        file: the file.
    """

    def __init__(self, file: TableFile) -> None:
        super().__init__(file.origin)
        self._file, self.names = file, file.column_names
        self.types, self.num_rows = file.column_types, file.num_rows

    def numbered_rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The number and the columns of each row; row 1 is the first below a header."""
        number = 0
        for batch in self._file.batches():
            for start in range(0, batch.num_rows, CHUNK_ROWS):  # few Python objects at a time
                for row in batch.slice(start, CHUNK_ROWS).to_pylist():
                    number += 1
                    yield number, row


class JsonLinesStream(RowStream):
    """Rows of JSON lines.

    Args:
        lines: the lines.
        origin: name of the file.

    Raises:
        DataError: the first line is no object.
    """

    unit = "line"
    fixed_columns = False

    def __init__(self, lines: Iterable[bytes], origin: str) -> None:
        super().__init__(origin)
        self._rows = self._parse(lines)
        self._first = next(self._rows, None)
        self.names = list(self._first[1]) if self._first else []

    def _parse(self, lines: Iterable[bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, line in enumerate(lines, start=1):
            content = line.removeprefix(BOM) if number == 1 else line
            if content.strip():
                yield number, json_reader.read_object(content, {}, f"{self.origin}, line {number}")

    def numbered_rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The number of the line and the object of each row; blank lines are skipped."""
        if self._first is not None:
            yield self._first
            yield from self._rows


class TextStream(RowStream):
    """Rows of a text file: one text per line, as the column `text`.

    Args:
        lines: the lines.
        origin: name of the file.
    """

    unit = "line"
    names = [TEXT_COLUMN]  # noqa: RUF012  the same for all

    def __init__(self, lines: Iterable[bytes], origin: str) -> None:
        super().__init__(origin)
        self._lines = lines

    def numbered_rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The number and the text of each line, blank ones included."""
        for number, line in enumerate(self._lines, start=1):
            content = line.removeprefix(BOM) if number == 1 else line
            try:
                yield number, {TEXT_COLUMN: content.decode("utf-8").rstrip("\r\n")}
            except UnicodeDecodeError as error:
                byte = content[error.start]
                raise DataError(
                    f"{self.origin} is not UTF-8: byte 0x{byte:02x} on line {number}; save it as UTF-8, e.g. with "
                    "`iconv -f latin1 -t utf8`"
                ) from None


def input_format(path: Path, stream_format: str) -> str:
    """The format of an input file by its suffix; of `-` the given one.

    Raises:
        ConfigError: the suffix is unknown.
        DataError: there is no such file.
    """
    if path == STDIN:
        return stream_format
    check_exists(path, "input")
    file_format = SUFFIXES.get(path.suffix.lower())
    if file_format is None or path.is_dir():
        raise ConfigError([f"input={path}: read a file that ends with {', '.join(SUFFIXES)}, or - (the input)"])
    return file_format


def open_stream(path: Path, file_format: str, stack: ExitStack) -> RowStream:
    """Open a file, or standard input for `-`, of a format.

    CSV and TSV of standard input are first copied to a temporary file, since columns and quotes are checked before.

    Args:
        path: the file.
        file_format: csv, tsv, jsonl, parquet or txt.
        stack: closes the file.

    Raises:
        DataError: the file is damaged.
    """
    origin = "standard input" if path == STDIN else path.name
    if file_format in ("jsonl", "txt"):
        lines = sys.stdin.buffer if path == STDIN else stack.enter_context(path.open("rb"))
        return JsonLinesStream(lines, origin) if file_format == "jsonl" else TextStream(lines, origin)
    if path == STDIN:
        copy = tempfile.NamedTemporaryFile(prefix="kdrun-", suffix=f".{file_format}")  # noqa: SIM115  closed by the stack
        stack.enter_context(copy)
        copyfileobj(sys.stdin.buffer, copy)
        copy.flush()
        path = Path(copy.name)
    return TableStream(open_file(path, "input"))
