"""Write a file of a teacher's answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kdrun.config.task import TaskConfig
from kdrun.data.recorded.outputs import probabilities_of
from kdrun.data.recorded.rows import LOGITS, PROBABILITIES, SCORE
from kdrun.data.recorded.table import METADATA, SUFFIXES, dump_header, is_recorded_file
from kdrun.data.splits import TEXT_COLUMNS, Split
from kdrun.errors import ConfigError, Problem
from kdrun.formatting import join_words
from kdrun.storage.files import open_atomic

DIGITS = 6
"""Digits of the probabilities in JSON, which are for readers; the logits are exact."""


class AnswerWriter(Protocol):
    """Writes rows and their answers to an open file."""

    def write(self, rows: Split, name: str, logits: np.ndarray) -> None:
        """Append rows.

        Args:
            rows: the rows.
            name: of their split; empty leaves out split and row numbers.
            logits: the teacher's logits or scores, [rows, outputs] float32.
        """
        ...


def check_output(path: Path) -> list[Problem]:
    """The problem of a file name: an unknown format, no folder, or a file that `kdrun label` did not write."""
    problem = ""
    if path.suffix not in SUFFIXES:
        problem = f"the file ends with {join_words(SUFFIXES).replace(' and ', ' or ')}"
    elif not path.parent.is_dir():
        problem = f"there is no folder {path.parent}; create it, or name another one"
    elif path.exists() and not (path.is_file() and is_recorded_file(path)):
        problem = "it exists, and kdrun label did not write it; name another file"
    return [Problem("output", str(path), f"output={path}: {problem}")] if problem else []


@contextmanager
def open_writer(path: Path, task: TaskConfig, facts: Mapping[str, Any]) -> Iterator[AnswerWriter]:
    """Open a writer for a file that appears at its path only when it is complete.

    Args:
        path: ends with `.jsonl` or `.parquet`.
        task: of the rows.
        facts: content of the header besides the task and its classes: the teacher, its fingerprint, the command.
    """
    header = dump_header({"task": task.name, "classes": list(task.labels), **facts})
    with open_atomic(path) as file:
        if path.suffix == ".parquet":
            writer = _ParquetWriter(file, task, header)
            yield writer
            writer.close()
        else:
            file.write(header.encode() + b"\n")
            yield _JsonWriter(file, task)


class _JsonWriter:
    def __init__(self, file: BinaryIO, task: TaskConfig) -> None:
        self.file, self.task = file, task

    def write(self, rows: Split, name: str, logits: np.ndarray) -> None:
        """Append rows, one JSON object per line."""
        columns = {key: rows.table.column(key).to_pylist() for key in TEXT_COLUMNS[: 1 + rows.is_pair]}
        numbers = _numbers(rows).tolist()
        probabilities = None if self.task.is_regression else probabilities_of(logits, self.task).tolist()
        # the float64 of a float32 has the digits that give the same float32 again
        for i, values in enumerate(logits.astype(np.float64).tolist()):
            line: dict[str, Any] = {key: texts[i] for key, texts in columns.items()}
            if name and numbers[i] >= 0:
                line |= {"split": name, "id": numbers[i]}
            if probabilities is None:
                line[SCORE] = values[0]
            else:
                shares = zip(self.task.labels, probabilities[i], strict=True)
                line[PROBABILITIES] = {label: round(share, DIGITS) for label, share in shares}
            line[LOGITS] = values
            self.file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")


class _ParquetWriter:
    def __init__(self, file: BinaryIO, task: TaskConfig, header: str) -> None:
        self.file, self.task, self.metadata = file, task, {METADATA: header.encode()}
        self._writer: pq.ParquetWriter | None = None

    def write(self, rows: Split, name: str, logits: np.ndarray) -> None:
        """Append rows as a group of rows."""
        numbers = _numbers(rows)
        has_number = (numbers >= 0) & bool(name)
        columns: dict[str, Any] = {key: rows.table.column(key) for key in TEXT_COLUMNS[: 1 + rows.is_pair]}
        columns["split"] = pa.array([name] * rows.num_rows, pa.string(), mask=~has_number)
        columns["id"] = pa.array(numbers, pa.int64(), mask=~has_number)
        if self.task.is_regression:
            columns[SCORE] = pa.array(logits[:, 0], pa.float32())
        else:
            columns[PROBABILITIES] = _lists(probabilities_of(logits, self.task).astype(np.float32))
        columns[LOGITS] = _lists(logits)
        table = pa.table(columns).replace_schema_metadata(self.metadata)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self.file, table.schema)
        self._writer.write_table(table)

    def close(self) -> None:
        """Write the end of the file."""
        if self._writer is not None:
            self._writer.close()


def _numbers(rows: Split) -> np.ndarray:
    return np.arange(rows.num_rows) if rows.row_numbers is None else rows.row_numbers


def _lists(values: np.ndarray) -> pa.Array:
    """Rows of numbers as a column of lists."""
    offsets = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.ascontiguousarray(values).ravel()))


def names_of(splits: Mapping[str, Split], requested: Sequence[str]) -> list[str]:
    """The requested splits, by default all.

    Raises:
        ConfigError: a split does not exist.
    """
    unknown = [name for name in requested if name not in splits]
    if unknown:
        text = f"split={unknown[0]}: this run has the splits {', '.join(splits)}"
        raise ConfigError([Problem("split", unknown[0], text)])
    return list(dict.fromkeys(requested)) or list(splits)
