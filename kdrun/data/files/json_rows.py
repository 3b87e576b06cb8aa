"""Read JSON lines, or one JSON array of objects, with Arrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import json as arrow_json

from kdrun.data.files.byte_checks import BOM, check_bytes
from kdrun.data.files.table_file import BLOCKS, ArrowTable, TableFile, in_blocks, is_text, reading
from kdrun.data.row_checks import RowProblems
from kdrun.errors import DataError
from kdrun.storage import json_reader

HEAD = 1 << 20
"""Bytes at the start of a file that tell the columns."""


def open_json(path: Path) -> TableFile:
    """A file of JSON lines, or of one array.

    Raises:
        DataError: the file is not UTF-8 text, or is malformed; names the line or row.
    """
    facts = check_bytes(path, path.name)
    with path.open("rb") as file:
        start = file.read(HEAD).removeprefix(BOM).lstrip()
    if not start:
        raise DataError(f"{path.name} has no rows, only blanks")
    return _array(path) if start.startswith(b"[") else JsonLinesFile(path, facts.num_lines)


def _array(path: Path) -> ArrowTable:
    """The rows of one JSON array."""
    try:
        rows = json_reader.parse(path.read_bytes().removeprefix(BOM))
    except ValueError as error:
        raise DataError(f"{path.name} is not JSON ({error})") from None
    problems = RowProblems(path.name)
    _check_rows(enumerate(rows, 1), problems)
    problems.raise_if_any("row", "A file of rows is an array of objects with the same kinds of values.")
    names = list(dict.fromkeys(name for row in rows for name in row))
    with reading(path.name):
        return ArrowTable(pa.table({name: pa.array([row.get(name) for row in rows]) for name in names}), path.name)


class JsonLinesFile(TableFile):
    """A file with one JSON object per line.

    Args:
        path: the file.
        num_lines: its number of lines.
    """

    def __init__(self, path: Path, num_lines: int) -> None:
        self._path, self.origin, self._num_lines = path, path.name, num_lines
        self._last_error: Exception | None = None
        self._head, self._types = self._head_schema(), dict[tuple[str, ...], pa.Schema]()

    @property
    def column_names(self) -> list[str]:
        """The keys of the first rows."""
        return self._head.names

    def _head_schema(self) -> pa.Schema:
        """The columns of the first rows; text that looks like a date is text."""
        with self._path.open("rb") as file:
            head = file.read(HEAD)
            head += file.readline()
        try:
            options = arrow_json.ReadOptions(use_threads=False, block_size=max(len(head), 1))
            schema = arrow_json.read_json(pa.BufferReader(head), options).schema
        except pa.ArrowException as error:
            self._last_error = error
            return self._refuse()
        fields = [pa.field(f.name, pa.string()) if pa.types.is_timestamp(f.type) else f for f in schema]
        return pa.schema(fields)

    def _schema(self, names: Sequence[str]) -> pa.Schema:
        """Types that fit all rows: those of the first rows, else of all of them.

        Raises:
            DataError: a line is no JSON object, or has another type of value than the lines before.
        """
        key = tuple(names)
        if key not in self._types:
            first = pa.schema([self._head.field(name) for name in names])
            is_complete = not any(pa.types.is_null(field.type) for field in first)
            self._types[key] = first if is_complete and self._fits(first) else self._wider(first)
        return self._types[key]

    def _fits(self, schema: pa.Schema) -> bool:
        """Whether all rows have these types."""
        try:
            for _ in self._parsed(schema):
                pass
        except pa.ArrowException as error:
            self._last_error = error
            return False
        return True

    def _wider(self, first: pa.Schema) -> pa.Schema:
        """Types of all rows: numbers may become floats below the first rows; text stays text."""
        texts = pa.schema([field for field in first if is_text(field.type)])
        schema = pa.schema([])
        try:
            for block in self._blocks():
                options = arrow_json.ReadOptions(use_threads=False, block_size=max(len(block), 1))
                parse = arrow_json.ParseOptions(explicit_schema=texts, unexpected_field_behavior="infer")
                types = arrow_json.read_json(pa.BufferReader(block), options, parse).schema
                types = pa.schema([field for field in types if field.name in first.names])
                schema = pa.unify_schemas([schema, types], promote_options="permissive")
        except pa.ArrowException as error:
            self._last_error = error
            self._refuse()
        wider = pa.schema([schema.field(name) for name in first.names])
        return wider if self._fits(wider) else self._refuse()

    def _blocks(self) -> Iterator[bytes]:
        """The lines of the file, many at a time."""
        with self._path.open("rb") as file:
            while lines := file.readlines(BLOCKS[0]):
                block = b"".join(lines).removeprefix(BOM)
                if block.strip():
                    yield block

    def _batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        num_rows = 0
        for batch in self._parsed(self._schema(names)):
            num_rows += batch.num_rows
            yield batch
        if num_rows == self._num_lines:
            self.unit = "line"

    def _parsed(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """The columns of a schema; a row that is longer than a block is read again in a larger one."""
        parse = arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")

        def read(size: int) -> Iterator[pa.RecordBatch]:
            options = arrow_json.ReadOptions(use_threads=False, block_size=size)
            return arrow_json.open_json(self._path, options, parse)

        return in_blocks(read)

    def _refuse(self) -> Any:
        """Name the lines that are no JSON object, or have another type of value than the lines before.

        Raises:
            DataError: always.
        """
        problems = RowProblems(self.origin)
        with self._path.open("rb") as file:
            _check_rows(self._parse_lines(file, problems), problems)
        problems.raise_if_any(remedy="Each line is one object with the same kinds of values; lines are not dropped.")
        raise DataError(f"{self.origin} cannot be read: {' '.join(str(self._last_error).split())[:300]}")

    def _parse_lines(self, file: Any, problems: RowProblems) -> Iterator[tuple[int, Any]]:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json_reader.parse(line.removeprefix(BOM))
            except ValueError as error:
                problems.add_one(number, f"it is not JSON ({error})")
                continue
            yield number, row


def _check_rows(rows: Iterator[tuple[int, Any]], problems: RowProblems) -> None:
    """Find rows that are no object, repeat a key of another type, or change the type of a column."""
    types: dict[str, str] = {}
    for number, row in rows:
        if not isinstance(row, dict):
            problems.add_one(number, f"expected an object with columns as keys, got {type(row).__name__}")
            continue
        for name, value in row.items():
            if value is None:
                continue
            found = _type_name(value)
            expected = types.setdefault(name, found)
            if found != expected:
                problems.add_one(number, f"{name} is {found}: {_short(value)}; in the rows before it is {expected}")


def _type_name(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, list):
        inner = {_type_name(item) for item in value if item is not None}
        return f"a list of {' and '.join(sorted(inner))}" if len(inner) > 1 else "a list"
    return "an object"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
