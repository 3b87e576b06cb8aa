"""Write predicted rows to JSONL, CSV, TSV or Parquet as they come."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from kdrun.deployment.chunk import Chunk
from kdrun.errors import ConfigError, DataError
from kdrun.formatting import guard_formula
from kdrun.storage.files import open_atomic
from kdrun.tasks.answers import PROBABILITIES, Answers

STDOUT = Path("-")
FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet"}
PREFIX = "probability_"
"""Start of the names of probability columns, before the label."""


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
    def write(self, rows: Chunk, answers: Answers) -> None:
        """Write rows in order.

        Args:
            rows: input columns.
            answers: answers on these rows.
        """

    def close(self) -> None:  # noqa: B027  most formats need none
        """Finish the file."""


class JsonlWriter(AnswerWriter):
    """One JSON object per row, with probabilities as an object by label."""

    def write(self, rows: Chunk, answers: Answers) -> None:
        """Write rows in order; a number that JSON lacks, such as NaN, becomes null."""
        columns = answers.columns if rows.objects is not None else {**rows.columns, **answers.columns}
        values = [*map(_json_values, columns.values()), *map(_json_values, (answers.probabilities or {}).values())]
        line = _json_template(list(columns), answers.probabilities)
        texts = map(line.__mod__, zip(*values, strict=True))
        if rows.objects is not None:
            texts = map(_joined, map(_json_object, rows.objects), texts)
        self._file.write("\n".join([*texts, ""]).encode())
        self._file.flush()


_quote = json.encoder.encode_basestring
_strict = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=str).encode
_loose = json.JSONEncoder(ensure_ascii=False, default=str).encode


def _json_template(names: Sequence[str], labels: Iterable[str] | None) -> str:
    """A JSON object with `%s` in place of each value."""
    pairs = [f"{_key(name)}: %s" for name in names]
    if labels is not None:
        pairs.append(f"{_key(PROBABILITIES)}: {{{', '.join(f'{_key(label)}: %s' for label in labels)}}}")
    return f"{{{', '.join(pairs)}}}"


def _key(name: str) -> str:
    return _quote(name).replace("%", "%%")


def _json_values(values: Iterable[Any]) -> list[str]:
    return [_quote(value) if type(value) is str else _json_value(value) for value in values]


def _json_value(value: Any) -> str:
    if type(value) is float:
        return repr(value) if math.isfinite(value) else "null"
    try:
        return _strict(value)
    except ValueError:  # a list with a number that JSON lacks
        return _loose(value)


def _json_object(row: Mapping[str, Any]) -> str:
    return f"{{{', '.join(f'{_quote(name)}: {_json_value(value)}' for name, value in row.items())}}}"


def _joined(row: str, answer: str) -> str:
    """One object of two."""
    return f"{row[:-1]}, {answer[1:]}" if row != "{}" else answer


class DelimitedWriter(AnswerWriter):
    """CSV or TSV with a header; a text that a spreadsheet would evaluate gets an apostrophe."""

    def __init__(self, file: BinaryIO, delimiter: str) -> None:
        super().__init__(file)
        self._delimiter = delimiter
        self._names: list[str] = []

    def write(self, rows: Chunk, answers: Answers) -> None:
        """Write rows in order, with one column per probability."""
        text = io.StringIO()
        writer = csv.writer(text, delimiter=self._delimiter, lineterminator="\n")
        columns = flat_columns(rows, answers, self._names)
        if not self._names:
            self._names = list(columns)
            writer.writerow(map(guard_formula, self._names))
        writer.writerows(zip(*(map(_cell, columns[name]) for name in self._names), strict=True))
        self._file.write(text.getvalue().encode())
        self._file.flush()


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

    def write(self, rows: Chunk, answers: Answers) -> None:
        """Write rows in order, with one column per probability."""
        columns = flat_columns(rows, answers, self._schema.names if self._schema else ())
        types = {field.name: field.type for field in self._schema} if self._schema else self._types
        try:
            table = pa.table({name: pa.array(values, types.get(name)) for name, values in columns.items()})
        except pa.ArrowException as error:
            raise DataError(
                f"rows have other types of values than those before them, which Parquet does not store ({error}); "
                "write to a .jsonl file, or leave such columns out with columns="
            ) from None
        if self._writer is None:
            self._schema = table.schema
            self._writer = pq.ParquetWriter(self._file, table.schema)
        self._writer.write_table(table)

    def close(self) -> None:
        """Write the end of the file."""
        if self._writer is not None:
            self._writer.close()


def flat_columns(rows: Chunk, answers: Answers, names: Sequence[str]) -> dict[str, Sequence[Any]]:
    """The columns of rows and answers, with one per probability, `probability_LABEL`.

    Args:
        rows: input columns.
        answers: answers on these rows.
        names: columns of the file so far, which the result has; empty for those of the first row.

    Raises:
        DataError: a row has a column that the first row lacks: the file has no place for it.
    """
    given = {**answers.columns, **{f"{PREFIX}{name}": values for name, values in (answers.probabilities or {}).items()}}
    objects = [rows.columns] if rows.objects is None else rows.objects
    names = names or [*objects[0], *given]
    for row in objects:
        if new := next((name for name in row if name not in names), None):
            raise DataError(
                f"a row has the key {new!r}, which the first row lacks; write to a .jsonl file, or choose keys with "
                "columns="
            )
    return {name: given[name] if name in given else rows.column(name) for name in names}


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
