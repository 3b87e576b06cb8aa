"""Read the rows of a file or of standard input in chunks."""

from __future__ import annotations

import itertools
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from shutil import copyfileobj
from typing import Any

import pyarrow as pa

from kdrun.data.files.byte_checks import BOM
from kdrun.data.files.open_file import check_exists, open_file
from kdrun.data.files.table_file import TableFile
from kdrun.data.text_files import HEAD, check_head, latin_remedy
from kdrun.deployment import chunk
from kdrun.deployment.chunk import Chunk, grouped
from kdrun.deployment.json_objects import is_array, objects_of_array, objects_of_lines
from kdrun.errors import ConfigError, DataError

MIN_ROWS = 32
"""Rows of a table that are not divided, however long they are."""
STDIN = Path("-")
TEXT_COLUMN = "text"
SUFFIXES = {
    ".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".parquet": "parquet",
    ".txt": "txt",
}  # fmt: skip


class RowStream(ABC):
    """Rows of a file in order, in constant memory.

    Attributes:
        origin: name of the file in messages.
        names: its columns; of objects those of the first row.
        types: types of its columns, where the format has types.
        num_rows: number of rows; None if the file does not tell.
        fixed_columns: whether every row has these columns and no others.
    """

    names: list[str]
    types: Mapping[str, pa.DataType] = {}
    num_rows: int | None = None
    fixed_columns: bool = True

    def __init__(self, origin: str) -> None:
        self.origin = origin

    @abstractmethod
    def chunks(self) -> Iterator[Chunk]:
        """The rows in chunks of `CHUNK_ROWS`, or fewer long ones.

        Raises:
            DataError: a row is damaged; names it.
        """


class TableStream(RowStream):
    """Rows of a CSV, TSV or Parquet file.

    Args:
        file: the file.
    """

    def __init__(self, file: TableFile) -> None:
        super().__init__(file.origin)
        self._file, self.names = file, file.column_names
        self.types, self.num_rows = file.column_types, file.num_rows

    def chunks(self) -> Iterator[Chunk]:
        """The rows in chunks; row 1 is the first below a header."""
        start = 1
        for table in self._tables():
            columns = {name: table.column(name).to_pylist() for name in self.names}
            yield Chunk(columns, range(start, start + table.num_rows), "row")
            start += table.num_rows

    def _tables(self) -> Iterator[pa.Table]:
        """The rows in pieces of the size of a chunk."""
        pieces: list[pa.RecordBatch] = []
        num_rows, size = 0, 0
        for batch in self._file.batches():
            start = 0
            while start < batch.num_rows:
                piece = batch.slice(start, chunk.CHUNK_ROWS - num_rows)
                while size + piece.nbytes > chunk.CHUNK_BYTES and piece.num_rows > MIN_ROWS:
                    piece = piece.slice(0, piece.num_rows // 2)
                pieces.append(piece)
                start, num_rows, size = start + piece.num_rows, num_rows + piece.num_rows, size + piece.nbytes
                if num_rows == chunk.CHUNK_ROWS or size >= chunk.CHUNK_BYTES:
                    yield pa.Table.from_batches(pieces)
                    pieces, num_rows, size = [], 0, 0
        if pieces:
            yield pa.Table.from_batches(pieces)


class ObjectStream(RowStream):
    """Rows that are JSON objects.

    Args:
        rows: number, object and size of each row.
        origin: name of the file.
        unit: unit of the numbers.

    Raises:
        DataError: the first row is no object.
    """

    fixed_columns = False

    def __init__(self, rows: Iterator[tuple[int, dict[str, Any], int]], origin: str, unit: str) -> None:
        super().__init__(origin)
        first = next(rows, None)
        self._rows = rows if first is None else itertools.chain([first], rows)
        self._unit, self.names = unit, list(first[1]) if first else []

    def chunks(self) -> Iterator[Chunk]:
        """The rows in chunks."""
        for numbers, rows in grouped(self._rows):
            yield Chunk.of_objects(rows, numbers, self._unit)


class TextStream(RowStream):
    """Rows of a text file: one text per line, as the column `text`.

    Args:
        lines: the lines.
        origin: name of the file.
    """

    names = [TEXT_COLUMN]  # noqa: RUF012  the same for all

    def __init__(self, lines: Iterable[bytes], origin: str) -> None:
        super().__init__(origin)
        self._lines = lines

    def chunks(self) -> Iterator[Chunk]:
        """The lines in chunks, blank ones included."""
        for numbers, texts in grouped(self._texts()):
            yield Chunk({TEXT_COLUMN: texts}, numbers, "line")

    def _texts(self) -> Iterator[tuple[int, str, int]]:
        for number, line in enumerate(self._lines, start=1):
            if number == 1:
                check_head(line[:HEAD], self.origin)
            content = line.removeprefix(BOM) if number == 1 else line
            try:
                yield number, content.decode("utf-8").rstrip("\r\n"), len(line)
            except UnicodeDecodeError as error:
                byte = content[error.start]
                raise DataError(
                    f"{self.origin} is not UTF-8: byte 0x{byte:02x} on line {number}; {latin_remedy()}"
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
        file_format: csv, tsv, json, jsonl, parquet or txt.
        stack: closes the file.

    Raises:
        DataError: the file is damaged.
    """
    origin = "standard input" if path == STDIN else path.name
    if file_format in ("json", "jsonl", "txt"):
        file = sys.stdin.buffer if path == STDIN else stack.enter_context(path.open("rb"))
        if file_format == "txt":
            return TextStream(file, origin)
        if file_format == "json" and is_array(file):
            return ObjectStream(objects_of_array(file, origin), origin, "row")
        return ObjectStream(objects_of_lines(file, origin), origin, "line")
    if path == STDIN:
        copy = tempfile.NamedTemporaryFile(prefix="kdrun-", suffix=f".{file_format}")  # noqa: SIM115  closed by the stack
        stack.enter_context(copy)
        copyfileobj(sys.stdin.buffer, copy)
        copy.flush()
        path = Path(copy.name)
    return TableStream(open_file(path, "input"))
