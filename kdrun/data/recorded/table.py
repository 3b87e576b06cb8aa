"""Read a file of a teacher's answers into arrays."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kdrun import progress
from kdrun.config.task import TaskConfig
from kdrun.data import text_files
from kdrun.data.recorded import outputs
from kdrun.data.recorded.rows import COLUMNS, PROBABILITIES, AnswerRow, RowParser
from kdrun.data.row_checks import RowProblems
from kdrun.data.splits import SEPARATOR, pc, text_key_array
from kdrun.errors import DataError
from kdrun.formatting import first_line, join_words, percent, shorten
from kdrun.storage import json_reader
from kdrun.storage.json_reader import Shape

SUFFIXES = (".jsonl", ".parquet")
FORMAT, FORMAT_NAME = "format", "kdrun-teacher-1"
METADATA = b"kdrun"
"""Key of the header in the metadata of a Parquet file."""
HEADER_SHAPE: dict[str, Shape] = {
    FORMAT: str, "classes?": [str], "task?": str, "teacher?": str, "fingerprint?": str,
}  # fmt: skip
BATCH_ROWS, MAX_HEADER = 4096, 2**20
REMEDY = "Rows are not dropped: fix them, or record the teacher again (kdrun label)."


@dataclass(frozen=True)
class RecordedTable:
    """The rows of one file.

    Attributes:
        origin: the file, for messages.
        keys: hash of each row's texts, [rows] of 16 bytes; empty for a row without texts.
        ids: number of the row in its split, [rows]; -1 without one.
        split_codes: index into `split_names`, [rows].
        split_names: names of splits; the empty name is the student's training rows.
        logits: logits, or scores, [rows, outputs] float32.
        lines: line or row number in the file, [rows].
        exact: whether all rows have logits, not probabilities.
        header: content of the header; empty without one.
        notes: remarks for readers of the run, one sentence each.
    """

    origin: str
    keys: np.ndarray
    ids: np.ndarray
    split_codes: np.ndarray
    split_names: list[str]
    logits: np.ndarray
    lines: np.ndarray
    exact: bool
    header: Mapping[str, Any]
    notes: list[str]


@dataclass
class _Columns:
    """Rows that have been read, as pieces of arrays, and counts for the notes."""

    pieces: dict[str, list[np.ndarray]] = field(default_factory=dict)
    split_names: dict[str, int] = field(default_factory=dict)
    num_probabilities: int = 0
    num_partial: int = 0
    rest: float = 0.0

    def add(self, name: str, values: np.ndarray) -> None:
        """Append values to a column."""
        self.pieces.setdefault(name, []).append(values)


def read_table(path: Path, task: TaskConfig, labels: Mapping[str, str] | None = None) -> RecordedTable:
    """Read and check all rows of a file; memory holds 40 bytes and the logits of each row, not its text.

    Args:
        path: a `.jsonl` or `.parquet` file.
        task: gives texts and classes.
        labels: name of a class in the file → name in the task.

    Raises:
        DataError: the file is missing, of another format or for other classes, or has malformed rows; the first five
            are named.
    """
    if path.suffix not in SUFFIXES:
        hint = "; a model's folder is teacher=pretrained teacher.path=FOLDER" if path.is_dir() else ""
        raise DataError(f"{path}: teacher=recorded reads files that end with {join_words(SUFFIXES)}{hint}")
    header, rows, unit = _open(path)
    parser = RowParser(task, labels, header.get("classes"))
    problems, columns = RowProblems(str(path)), _Columns()
    for batch in _batches(rows, parser, problems):
        _add_batch(columns, batch, task)
    problems.raise_if_any(unit, remedy=REMEDY)
    if not columns.pieces:
        raise DataError(f"{path} has no rows; record the teacher again (kdrun label)")
    arrays = {name: np.concatenate(parts) for name, parts in columns.pieces.items()}
    return RecordedTable(
        origin=str(path),
        split_names=list(columns.split_names),
        exact=columns.num_probabilities == 0,
        header=header,
        notes=_notes(columns, parser, header, len(arrays["ids"])),
        **arrays,
    )


def _open(path: Path) -> tuple[dict[str, Any], Iterator[tuple[int, Any]], str]:
    """The header, the numbered rows (or the problem of a row as a sentence), and the unit of the numbers."""
    if path.suffix == ".parquet":
        return *_open_parquet(path), "row"
    rows = _json_rows(path)
    first = next(rows, None)
    if first is not None and isinstance(first[1], dict) and FORMAT in first[1]:
        return _checked_header(first[1], f"{path}, line {first[0]}"), rows, "line"
    return {}, _chain(first, rows), "line"


def _chain(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    if first is not None:
        yield first
    yield from rest


def _checked_header(content: dict[str, Any], where: str) -> dict[str, Any]:
    try:
        json_reader.check_shape(content, HEADER_SHAPE)
    except ValueError as error:
        raise DataError(f"{where}: the header has {error}") from None
    if content[FORMAT] != FORMAT_NAME:
        raise DataError(f"{where}: format is {content[FORMAT]!r:.60}, and this kdrun reads {FORMAT_NAME}")
    return content


def _json_rows(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open("rb") as lines:  # in binary, a line ends at a line feed alone
        text_files.check_head(lines.read(text_files.HEAD), str(path))
        lines.seek(0)
        with progress.track(f"reading {path.name}", path.stat().st_size, "bytes") as activity:
            for number, line in enumerate(lines, 1):
                activity.advance(len(line))
                if not line.strip():
                    continue
                try:
                    yield number, json_reader.parse(line)
                except ValueError as error:
                    ending = "" if line.endswith(b"\n") else "; it has no line end: writing the file was interrupted"
                    yield number, f"it is not JSON ({error}){ending}"


def _open_parquet(path: Path) -> tuple[dict[str, Any], Iterator[tuple[int, Any]]]:
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(f"{path} is not a Parquet file ({first_line(str(error))}); write it again") from None
    metadata, header = file.schema_arrow.metadata or {}, dict[str, Any]()
    if METADATA in metadata:
        where = f"{path}, metadata {METADATA.decode()!r}"
        header = _checked_header(json_reader.read_object(metadata[METADATA], HEADER_SHAPE, where), where)
    return header, _parquet_rows(path, file)


def _parquet_rows(path: Path, file: Any) -> Iterator[tuple[int, Any]]:
    names = [name for name in file.schema_arrow.names if name in COLUMNS]
    number, total = 0, file.metadata.num_rows
    if not any(name in names for name in COLUMNS):
        raise DataError(f"{path} has the columns {shorten(', '.join(file.schema_arrow.names), 200)}; expected some of "
                        f"{', '.join(COLUMNS)}")  # fmt: skip
    with progress.track(f"reading {path.name}", total, "rows") as activity:
        try:
            for batch in file.iter_batches(BATCH_ROWS, columns=names):
                for row in batch.to_pylist():
                    yield number, row
                    number += 1
                activity.advance(batch.num_rows)
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{path} is damaged at row {number}: {first_line(str(error))}; copy it again") from None


def _batches(
    rows: Iterator[tuple[int, Any]], parser: RowParser, problems: RowProblems
) -> Iterator[list[tuple[int, AnswerRow]]]:
    batch: list[tuple[int, AnswerRow]] = []
    for number, row in rows:
        parsed = row if isinstance(row, str) else "it is no object" if not isinstance(row, dict) else parser.parse(row)
        if isinstance(parsed, str):
            problems.add_one(number, parsed)
            continue
        batch.append((number, parsed))
        if len(batch) == BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def _add_batch(columns: _Columns, batch: list[tuple[int, AnswerRow]], task: TaskConfig) -> None:
    lines, rows = np.array([number for number, _ in batch], np.int64), [row for _, row in batch]
    values = np.array([row.values for row in rows], np.float64)
    columns.add("logits", _logits(columns, values, rows, task))
    codes = [columns.split_names.setdefault(row.split, len(columns.split_names)) for row in rows]
    columns.add("split_codes", np.array(codes, np.int32))
    columns.add("ids", np.array([row.id for row in rows], np.int64))
    columns.add("lines", lines)
    columns.add("keys", _text_keys(rows))


def _text_keys(rows: list[AnswerRow]) -> np.ndarray:
    """Hashes of the rows' texts without blanks at both ends, as in a split; empty for a row without texts."""
    columns = list(zip(*(row.texts or ("", "") for row in rows), strict=False))
    trimmed = [pc.utf8_trim_whitespace(pa.array(column, pa.string())).to_pylist() for column in columns]
    keys = text_key_array((SEPARATOR.join(texts) for texts in zip(*trimmed, strict=True)), len(rows))
    keys[np.array([not row.texts for row in rows])] = b""
    return keys


def _logits(columns: _Columns, values: np.ndarray, rows: list[AnswerRow], task: TaskConfig) -> np.ndarray:
    """The logits of a batch, [rows, outputs] float32; probabilities are completed and counted."""
    chosen = np.flatnonzero([row.form == PROBABILITIES for row in rows])
    complete = outputs.spread_rest(values[chosen])
    columns.num_probabilities += len(chosen)
    columns.num_partial += len(set(np.nonzero(np.isnan(values))[0].tolist()))
    columns.rest += float(np.where(np.isnan(values[chosen]), complete, 0.0).sum())
    result = values.astype(np.float32)
    result[chosen, :] = outputs.logits_of(complete, task)
    return result


def _notes(columns: _Columns, parser: RowParser, header: Mapping[str, Any], rows: int) -> list[str]:
    notes, task = [], parser.task
    if header.get("task", task.name) != task.name:
        notes.append(f"it was recorded for task={header['task']}, and this run has task={task.name}")
    if columns.num_partial:
        rest = percent(columns.rest / columns.num_partial)
        notes.append(
            f"{columns.num_partial} of {rows} rows name some of the {task.num_outputs} classes: the rest of the "
            f"probability, {rest} on average, is spread evenly over the other classes"
        )
    renamed = parser.resolver.renamed()
    if renamed:
        pairs = ", ".join(f"{name} is {target}" for name, target in renamed.items())
        notes.append(f"class names of the file: {shorten(pairs, 200)}")
    if parser.assumed_order and not task.is_regression:
        order = shorten(", ".join(task.labels), 200)
        notes.append(f"its lists of numbers have no class names: the task's order is assumed ({order})")
    return notes


def is_recorded_file(path: Path) -> bool:
    """Whether `kdrun label` wrote a file."""
    try:
        if path.suffix == ".parquet":
            return METADATA in (pq.read_schema(path).metadata or {})
        with path.open("rb") as file:
            first = json_reader.parse(file.readline(MAX_HEADER))
    except (OSError, ValueError):
        return False
    return isinstance(first, dict) and first.get(FORMAT) == FORMAT_NAME


def dump_header(content: Mapping[str, Any]) -> str:
    """The header of a file, as one line of JSON."""
    return json.dumps({FORMAT: FORMAT_NAME, **content})
