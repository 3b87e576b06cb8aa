"""A file to predict: input, output, checks of its rows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdrun.deployment.row_stream import Chunk, RowStream
from kdrun.errors import DataError
from kdrun.formatting import plural

MAX_NAMED = 5
"""Bad rows that an error names."""


@dataclass(frozen=True)
class CheckedChunk:
    """Rows of a file.

    Attributes:
        rows: columns of each row.
        texts: the texts of the rows with texts.
        bad: indices of the rows without.
    """

    rows: list[dict[str, Any]]
    texts: list[tuple[str, ...]]
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


def checked_chunks(stream: RowStream, text_columns: Sequence[str], *, allow_bad: bool) -> Iterator[CheckedChunk]:
    """The rows of a file in chunks. The first chunk is read and checked at once, the others as they are needed.

    Args:
        stream: the file.
        text_columns: columns of the texts, one or two.
        allow_bad: whether rows without a text are allowed.

    Raises:
        DataError: the file has no rows, is damaged, or a row has no text; names rows.
    """
    chunks = _check_all(stream, text_columns, allow_bad)
    first = next(chunks, None)
    if first is None:
        raise DataError(f"{stream.origin} has no rows")
    return itertools.chain([first], chunks)


def _check_all(stream: RowStream, text_columns: Sequence[str], allow_bad: bool) -> Iterator[CheckedChunk]:
    for chunk in stream.chunks():
        problems = dict(_problems(stream, text_columns, chunk))
        if problems and not allow_bad:
            raise DataError(_describe(list(problems.values())))
        texts = [
            tuple(row[name] for name in text_columns) for index, row in enumerate(chunk.rows) if index not in problems
        ]
        yield CheckedChunk(chunk.rows, texts, set(problems))


def _problems(stream: RowStream, text_columns: Sequence[str], chunk: Chunk) -> Iterator[tuple[int, str]]:
    """Index and problem of each row of a chunk without a text."""
    for index, row in enumerate(chunk.rows):
        for name in text_columns:
            value: Any = row.get(name)
            if not isinstance(value, str) or not value.strip():
                problem = (
                    "missing" if value is None else "blank" if isinstance(value, str) else f"no text: {value!r:.40}"
                )
                yield index, f"{stream.origin}, {chunk.unit} {chunk.numbers[index]}: {name} is {problem}"
                break


def _describe(problems: list[str]) -> str:
    lines = problems[:MAX_NAMED]
    if len(problems) > MAX_NAMED:
        lines.append(f"… and {len(problems) - MAX_NAMED} more nearby")
    listing = "\n".join(f"  - {line}" for line in lines)
    return (
        f"{plural(len(problems), 'row')} without a text:\n{listing}\nNo file was written; fix the rows, or leave their "
        "answers empty with bad_rows=empty"
    )
