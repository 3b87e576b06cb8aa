"""Read plain texts for a teacher to label, in chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa

from kdrun.config.task import TaskConfig
from kdrun.data.splits import TEXT_COLUMNS, Split, make_split
from kdrun.deployment.file_job import checked_chunks
from kdrun.deployment.row_stream import TextStream, input_format, open_stream
from kdrun.deployment.text_columns import choose_text_columns
from kdrun.errors import DataError

LINES = "txt"
"""Format of standard input."""
REMEDY = "Fix or remove the rows"


def read_chunks(path: Path, requested: Sequence[str], task: TaskConfig) -> Iterator[Split]:
    """The rows of a file in chunks, without labels; blank lines of a text file are left out.

    Args:
        path: a file that `kdrun predict` reads, or `-` for standard input with one text per line.
        requested: text columns; empty for `text` (and `text_pair`), or to infer them.
        task: gives the number of texts per row, and their usual columns.

    Raises:
        ConfigError: no text column can be chosen.
        DataError: the file is missing, empty, or has malformed rows; up to five are named.
    """
    with ExitStack() as stack:
        stream = open_stream(path, input_format(path, LINES), stack)
        is_lines = isinstance(stream, TextStream)
        if is_lines and len(task.text) > 1:
            raise DataError(
                f"input={path}: task={task.name} has two texts per row, and a line has one; give a .csv or .jsonl file"
            )
        usual = TEXT_COLUMNS[: len(task.text)]
        names = requested or (usual if set(usual) <= set(stream.names) else ())
        columns = choose_text_columns(stream.origin, stream.names, names, len(task.text), task)
        num_rows = 0
        for chunk in checked_chunks(stream, columns, allow_bad=is_lines, remedy=REMEDY):
            if len(chunk.texts[0]):
                num_rows += len(chunk.texts[0])
                yield make_split("input", [pa.array(texts, pa.string()) for texts in chunk.texts], None, str(path))
        if not num_rows:
            raise DataError(f"input={path} has blank lines only")
