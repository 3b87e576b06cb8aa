"""Write predicted rows to JSONL, CSV, TSV or Parquet as they come."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from kdrun.errors import ConfigError, DataError
from kdrun.formatting import guard_formula
from kdrun.storage.files import open_atomic

STDOUT = Path("-")
FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet"}
PREFIX = "probability_"
"""Start of the names of probability columns, before the label."""
Row = dict[str, Any]


def output_format(path: Path, stream_format: str) -> str:
    """The format of an output file by its suffix; of `-` the given one.

    Raises:
        ConfigError: the suffix is unknown, or the folder is missing.
    """
    if path == STDOUT:
        return "jsonl" if stream_format == "txt" else stream_format
    if path.suffix.lower() not in FORMATS:
        raise ConfigError([f"output={path}: write to a file that ends with {', '.join(FORMATS)}, or to - (the output)"])
    if path.is_dir() or not path.absolute().parent.is_dir():
        problem = "is a folder; name a file" if path.is_dir() else f"the folder {path.parent} does not exist"
        raise ConfigError([f"output={path}: {problem}"])
    return FORMATS[path.suffix.lower()]


class AnswerWriter(ABC):
    """Writes rows with their answers; one object per file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    @abstractmethod
    def write(self, rows: Sequence[Row], answers: Sequence[Row]) -> None:
        """Write rows in order.

        Args:
            rows: input columns.
            answers: records of `TaskType.prediction_records` of these rows.
        """

    def close(self) -> None:  # noqa: B027  most formats need none
        """Finish the file."""


class JsonlWriter(AnswerWriter):
    """One JSON object per row, with probabilities as an object by label."""

    def write(self, rows: Sequence[Row], answers: Sequence[Row]) -> None:
        """Write rows in order; a number that JSON lacks, such as NaN, becomes null."""
        lines = [_json_line(row | answer) for row, answer in zip(rows, answers, strict=True)]
        self._file.write("".join(lines).encode())
        self._file.flush()


def _json_line(row: Row) -> str:
    try:
        return json.dumps(row, ensure_ascii=False, allow_nan=False, default=str) + "\n"
    except ValueError:
        plain = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in row.items()
        }
        return json.dumps(plain, ensure_ascii=False, default=str) + "\n"


class DelimitedWriter(AnswerWriter):
    """CSV or TSV with a header; a text that a spreadsheet would evaluate gets an apostrophe."""

    def __init__(self, file: BinaryIO, delimiter: str) -> None:
        super().__init__(file)
        self._delimiter = delimiter
        self._names: list[str] = []

    def write(self, rows: Sequence[Row], answers: Sequence[Row]) -> None:
        """Write rows in order, with one column per probability."""
        text = io.StringIO()
        writer = csv.writer(text, delimiter=self._delimiter, lineterminator="\n")
        for row, answer in zip(rows, answers, strict=True):
            record = row | flat_answer(answer)
            if not self._names:
                self._names = list(record)
                writer.writerow(map(guard_formula, self._names))
            _refuse_new_keys(record, self._names)
            writer.writerow([_cell(record.get(name)) for name in self._names])
        self._file.write(text.getvalue().encode())
        self._file.flush()


def _refuse_new_keys(record: Row, names: Sequence[str]) -> None:
    """Refuse a row with a column that the first rows lack: the file has no place for it.

    Raises:
        DataError: it has one.
    """
    new = [name for name in record if name not in names]
    if new:
        raise DataError(
            f"a row has the key {new[0]!r}, which the first row lacks; write to a .jsonl file, or choose keys with "
            "columns="
        )


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return guard_formula(value)
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict) else value


class ParquetWriter(AnswerWriter):
    """A Parquet file with one row group per call; columns without a type in `types` have that of their first rows."""

    def __init__(self, file: BinaryIO, types: Mapping[str, pa.DataType]) -> None:
        super().__init__(file)
        self._types = types
        self._schema: pa.Schema | None = None
        self._writer: pq.ParquetWriter | None = None

    def write(self, rows: Sequence[Row], answers: Sequence[Row]) -> None:
        """Write rows in order, with one column per probability."""
        records = [row | flat_answer(answer) for row, answer in zip(rows, answers, strict=True)]
        try:
            schema = self._schema or self._first_schema(records)
            for record in records:
                _refuse_new_keys(record, schema.names)
            table = pa.Table.from_pylist(records, schema)
        except pa.ArrowException as error:
            raise DataError(
                f"rows have other types of values than those before them, which Parquet does not store ({error}); "
                "write to a .jsonl file, or leave such columns out with columns="
            ) from None
        if self._writer is None:
            self._schema = table.schema
            self._writer = pq.ParquetWriter(self._file, table.schema)
        self._writer.write_table(table)

    def _first_schema(self, records: Sequence[Row]) -> pa.Schema:
        inferred = pa.Table.from_pylist(list(records)).schema
        return pa.schema([pa.field(field.name, self._types.get(field.name, field.type)) for field in inferred])

    def close(self) -> None:
        """Write the end of the file."""
        if self._writer is not None:
            self._writer.close()


def flat_answer(answer: Row) -> Row:
    """An answer with one column per probability, `probability_LABEL`."""
    flat = {key: value for key, value in answer.items() if key != "probabilities"}
    return flat | {f"{PREFIX}{name}": value for name, value in answer.get("probabilities", {}).items()}


@contextmanager
def open_writer(path: Path, file_format: str, types: Mapping[str, pa.DataType]) -> Iterator[AnswerWriter]:
    """Open an output: a file that appears when it is complete, or `-` for standard output.

    Args:
        path: the file.
        file_format: jsonl, csv, tsv or parquet.
        types: types of the input columns, where the input has types.
    """
    with ExitStack() as stack:
        file = sys.stdout.buffer if path == STDOUT else stack.enter_context(open_atomic(path))
        writer = _writer(file, file_format, types)
        stack.callback(writer.close)
        yield writer


def _writer(file: BinaryIO, file_format: str, types: Mapping[str, pa.DataType]) -> AnswerWriter:
    if file_format == "jsonl":
        return JsonlWriter(file)
    if file_format == "parquet":
        return ParquetWriter(file, types)
    return DelimitedWriter(file, "\t" if file_format == "tsv" else ",")
