"""Read JSON lines, or one JSON array of objects, with Arrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import json as arrow_json

from kdrun.data.files.byte_checks import BOM, check_bytes
from kdrun.data.files.table_file import ArrowTable, TableFile, is_text, reading
from kdrun.data.row_checks import RowProblems
from kdrun.errors import DataError
from kdrun.storage import json_reader

HEAD = 1 << 20
"""Bytes at the start of a file that tell the columns."""
BLOCK = 1 << 22
MAX_BLOCK = (1 << 31) - 1


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
        self._schema = self._head_schema()

    @property
    def column_names(self) -> list[str]:
        """The keys of the first rows."""
        return self._schema.names

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

    def _read(self, names: Sequence[str]) -> pa.Table:
        typed = [self._schema.field(name) for name in names]
        exact = pa.schema([field for field in typed if not pa.types.is_null(field.type)])
        if len(exact) == len(typed):
            table = self._try(exact, "ignore")
            if table is not None:
                return self._numbered(table)
        # numbers may become floats further down; text stays text
        texts = pa.schema([field for field in typed if is_text(field.type)])
        table = self._try(texts, "infer")
        return self._numbered(table if table is not None else self._refuse())

    def _numbered(self, table: pa.Table) -> pa.Table:
        if table.num_rows == self._num_lines:
            self.unit = "line"
        return table

    def _try(self, schema: pa.Schema, unexpected: str) -> pa.Table | None:
        parse = arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior=unexpected)
        for size in (BLOCK, MAX_BLOCK):
            try:
                return arrow_json.read_json(self._path, arrow_json.ReadOptions(block_size=size), parse)
            except pa.ArrowInvalid as error:
                self._last_error = error
                if "straddling" not in str(error):
                    return None
        return None

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
