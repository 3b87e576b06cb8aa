"""Read plain texts for a teacher to label, in chunks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kdrun.config.task import TaskConfig
from kdrun.data import text_files
from kdrun.data.recorded.rows import RowParser
from kdrun.data.row_checks import RowProblems
from kdrun.data.splits import TEXT_COLUMNS, Split, make_split
from kdrun.errors import DataError
from kdrun.storage import json_reader

CHUNK_ROWS = 8192
SUFFIXES = (".txt", ".jsonl", ".parquet")


def read_chunks(path: Path, task: TaskConfig) -> Iterator[Split]:
    """The rows of a file in chunks, without labels; blank lines of a text file are left out.

    Args:
        path: a `.txt` file with one text per line; or `.jsonl` or `.parquet` with `text`, and `text_pair` for pairs.
        task: gives the number of texts per row.

    Raises:
        DataError: the file is missing, of another format, empty, or has malformed rows; up to five are named.
    """
    if path.suffix not in SUFFIXES:
        raise DataError(
            f"input={path}: the file must end with {', '.join(SUFFIXES)}; other tables are read by data=files"
        )
    if path.suffix == ".txt" and len(task.text) > 1:
        raise DataError(f"input={path}: task={task.name} has two texts per row, and a line has one; give a .jsonl file")
    rows, parser, count = _rows(path), RowParser(task, None, None), 0
    while chunk := list(islice(rows, CHUNK_ROWS)):
        problems, columns = RowProblems(str(path)), [list[str]() for _ in task.text]
        for number, row in chunk:
            texts = row if isinstance(row, str) else parser.texts_of(row)
            if isinstance(texts, str) or not any(text.strip() for text in texts):
                problems.add_one(number, texts if isinstance(texts, str) else "the text is empty")
                continue
            for column, text in zip(columns, texts, strict=True):
                column.append(text)
        problems.raise_if_any("row" if path.suffix == ".parquet" else "line")
        count += len(chunk)
        yield make_split("input", [pa.array(column, pa.string()) for column in columns], None, str(path))
    if not count:
        raise DataError(f"input={path} has no rows")


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Number and content of each row, or its problem as a sentence."""
    if path.suffix == ".parquet":
        yield from _parquet_rows(path)
        return
    with path.open("rb") as lines:  # in binary, a line ends at a line feed alone
        text_files.check_head(lines.read(text_files.HEAD), str(path))
        lines.seek(0)
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, _parse(line, is_text=path.suffix == ".txt", is_first=number == 1)


def _parse(line: bytes, *, is_text: bool, is_first: bool) -> dict[str, Any] | str:
    try:
        if is_text:
            return {"text": line.decode("utf-8-sig" if is_first else "utf-8").rstrip("\r\n")}
        row = json_reader.parse(line)
    except UnicodeDecodeError:
        return "it is not UTF-8"
    except ValueError as error:
        return f"it is not JSON ({error})"
    return row if isinstance(row, dict) else "it is no object"


def _parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(f"{path} is not a Parquet file ({str(error).splitlines()[0]}); write it again") from None
    names = [name for name in TEXT_COLUMNS if name in file.schema_arrow.names]
    number = 0
    for batch in file.iter_batches(CHUNK_ROWS, columns=names):
        for row in batch.to_pylist():
            yield number, row
            number += 1
