"""A file to predict: input, output, checks of its rows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdrun.deployment.chunk import Chunk
from kdrun.deployment.row_stream import RowStream
from kdrun.errors import DataError
from kdrun.formatting import plural

MAX_NAMED = 5
"""Bad rows that an error names."""
PREDICT_REMEDY = "Fix the rows, or leave their answers empty with bad_rows=empty"


@dataclass(frozen=True)
class CheckedChunk:
    """Rows of a file.

    Attributes:
        rows: the rows.
        texts: a column per text, of the rows with texts.
        bad: indices of the rows without.
    """

    rows: Chunk
    texts: list[Sequence[str]]
    bad: set[int]


@dataclass(frozen=True)
class FileJob:
    """Prediction of a file.

    Attributes:
        stream: the file.
        chunks: its rows, from `checked_chunks`.
        columns: input columns that the output has; None for all keys of each row.
        output: file to write, or `-`.
        output_format: its format.
    """

    stream: RowStream
    chunks: Iterator[CheckedChunk]
    columns: list[str] | None
    output: Path
    output_format: str


def checked_chunks(
    stream: RowStream, text_columns: Sequence[str], *, allow_bad: bool, remedy: str = PREDICT_REMEDY
) -> Iterator[CheckedChunk]:
    """The rows of a file in chunks. The first chunk is read and checked at once, the others as they are needed.

    Args:
        stream: the file.
        text_columns: columns of the texts, one or two.
        allow_bad: whether rows without a text are allowed.
        remedy: what to do about them, for the message.

    Raises:
        DataError: the file has no rows, is damaged, or a row has no text; names rows.
    """
    chunks = _check_all(stream, text_columns, allow_bad, remedy)
    first = next(chunks, None)
    if first is None:
        raise DataError(f"{stream.origin} has no rows")
    return itertools.chain([first], chunks)


def _check_all(stream: RowStream, text_columns: Sequence[str], allow_bad: bool, remedy: str) -> Iterator[CheckedChunk]:
    for chunk in stream.chunks():
        columns = {name: chunk.column(name) for name in text_columns}
        bad = {index for values in columns.values() for index, value in enumerate(values) if not _is_text(value)}
        if bad and not allow_bad:
            raise DataError(_describe([_problem(stream, columns, chunk, index) for index in sorted(bad)], remedy))
        texts = [
            [value for index, value in enumerate(values) if index not in bad] if bad else values
            for values in columns.values()
        ]
        yield CheckedChunk(chunk, texts, bad)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != "" and not value.isspace()


def _problem(stream: RowStream, columns: Mapping[str, Sequence[Any]], chunk: Chunk, index: int) -> str:
    """The first problem of a row without a text."""
    name, value = next((name, values[index]) for name, values in columns.items() if not _is_text(values[index]))
    problem = "missing" if value is None else "blank" if isinstance(value, str) else f"no text: {value!r:.40}"
    return f"{stream.origin}, {chunk.unit} {chunk.numbers[index]}: {name} is {problem}"


def _describe(problems: list[str], remedy: str) -> str:
    lines = problems[:MAX_NAMED]
    if len(problems) > MAX_NAMED:
        lines.append(f"… and {len(problems) - MAX_NAMED} more nearby")
    listing = "\n".join(f"  - {line}" for line in lines)
    return f"{plural(len(problems), 'row')} without a text:\n{listing}\n{remedy}; no file was written"
