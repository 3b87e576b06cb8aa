"""Read the rows of a file: texts and label cells, checked."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from kdrun.config.task import TaskConfig, TaskKind
from kdrun.data import disk_table
from kdrun.data.files.columns import Columns
from kdrun.data.files.labels import LabelCells, class_indices, read_cells, score_values
from kdrun.data.files.table_file import TableFile
from kdrun.data.files.text_reader import TextReader
from kdrun.data.row_checks import RowProblems
from kdrun.data.splits import Split, distinct_texts, label_sets, pc, trimmed_split
from kdrun.errors import DataError, did_you_mean
from kdrun.formatting import escape_control, plural

MAX_NAMED = 20
"""Class names in a message."""


@dataclass(frozen=True)
class FileRows:
    """Texts and label cells of a file, without rows that have no value at all.

    Attributes:
        texts: the columns `text`, and `text_pair` of pairs, without blanks at both ends; on disk if they are large.
        labels: the labels; None for unlabeled rows.
        numbers: number of each row in messages.
        file: the file.
        notes: remarks for readers of a result, as sentences.
    """

    texts: pa.Table
    labels: LabelCells | None
    numbers: np.ndarray
    file: TableFile
    notes: tuple[str, ...]

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        return len(self.numbers)


def read_rows(file: TableFile, columns: Columns) -> FileRows:
    """The rows of a file, read in batches.

    Raises:
        DataError: a column is missing or has no text, or a row lacks its text or its label; up to five rows are named.
    """
    reader = TextReader(file, columns)
    texts = disk_table.collect(reader.batches(), reader.schema)
    numbers = np.arange(file.first, file.first + texts.num_rows)
    labels = read_cells(file, reader.label_table(), columns.label, numbers) if columns.label else None
    faults = reader.faults()
    is_blank = faults.is_blank.copy()
    if labels is not None and len(columns.label) == 1:
        is_blank &= labels.cells.is_null().to_numpy(zero_copy_only=False)
    notes = (*file.notes,)
    if is_blank.any():
        rows = plural(int(is_blank.sum()), "blank row")
        notes += (f"{file.origin}: {rows} left out, the first on {file.unit} {numbers[is_blank][0]}",)
        texts, numbers, faults = (
            disk_table.take(texts, np.flatnonzero(~is_blank)),
            numbers[~is_blank],
            faults[~is_blank],
        )
        if labels is not None:
            labels = LabelCells(labels.cells.filter(pa.array(~is_blank)), labels.columns, labels.class_names)
    if not len(numbers):
        raise DataError(
            f"{file.origin} has no rows below its header" if file.first == 2 else f"{file.origin} has no rows"
        )
    problems = RowProblems(file.origin)
    notes += faults.report(problems, columns.text, numbers)
    if labels is not None:
        missing = labels.cells.is_null().to_numpy(zero_copy_only=False)
        problems.add(
            missing, numbers, iter([f"the label ({', '.join(columns.label)}) is missing"] * problems.max_shown)
        )
    problems.raise_if_any(file.unit)
    return FileRows(texts, labels, numbers, file, notes)


def labeled_split(name: str, rows: FileRows, task: TaskConfig) -> Split:
    """The rows as a split of a task whose classes or range are known.

    Raises:
        DataError: a label is no class of the task, or no number in its range; up to five rows are named.
    """
    assert rows.labels is not None
    labels, problems, origin = rows.labels, RowProblems(rows.file.origin), rows.file.origin
    if task.is_free_text:
        values = _checked_answers(labels, origin)
    elif task.kind is TaskKind.score:
        values = _checked_scores(rows, task, problems)
    elif labels.is_list:
        values = _checked_sets(rows, task, problems)
    else:
        values = class_indices(labels, task.labels)
        _check_known(values, labels.cells, rows.numbers, task, problems)
    problems.raise_if_any(rows.file.unit, "Labels are not dropped: fix them, or list all classes in task.labels=[…].")
    split = trimmed_split(name, rows.texts, values, origin, rows.notes)
    return dataclasses.replace(split, notes=(*rows.notes, *_duplicate_notes(rows, split)))


def _check_known(
    indices: pa.Array, cells: pa.Array, numbers: np.ndarray, task: TaskConfig, problems: RowProblems
) -> None:
    """Refuse labels that are no class of the task."""
    bad = indices.is_null().to_numpy(zero_copy_only=False)
    wrong = pc.filter(cells, pa.array(bad)).slice(0, problems.max_shown).to_pylist()
    shown = ", ".join(task.labels[:MAX_NAMED]) + (", …" if len(task.labels) > MAX_NAMED else "")
    sentences = (
        f"the label is {escape_control(str(value)[:60])!r}{did_you_mean(str(value), task.labels)} (classes: {shown})"
        for value in wrong
    )
    problems.add(bad, numbers, sentences)


def _checked_answers(labels: LabelCells, origin: str) -> pa.Array:
    """Answers in text, one per row."""
    if labels.is_list:
        raise DataError(
            f"{origin}: {', '.join(labels.columns)} has lists, and task.kind=text needs one text per row; name another "
            "column (task.label=COLUMN)"
        )
    return labels.cells


def _checked_scores(rows: FileRows, task: TaskConfig, problems: RowProblems) -> pa.Array:
    assert rows.labels is not None
    cells = rows.labels.cells
    values = score_values(cells)
    low, high = task.range
    plain = values.to_numpy(zero_copy_only=False)
    bad = ~((plain >= low) & (plain <= high))
    wrong = pc.filter(cells, pa.array(bad)).slice(0, problems.max_shown).to_pylist()
    expected = f"expected a number from {low:g} to {high:g} (task.range)"
    problems.add(bad, rows.numbers, (f"the score is {escape_control(str(v)[:60])!r}; {expected}" for v in wrong))
    return values


def _checked_sets(rows: FileRows, task: TaskConfig, problems: RowProblems) -> Any:
    """Rows and classes as 0 and 1, from lists of labels."""
    assert rows.labels is not None
    labels = rows.labels
    lengths = pc.list_value_length(labels.cells).to_numpy(zero_copy_only=False).astype(np.int64)
    row_of_item = np.repeat(np.arange(rows.num_rows), lengths)
    indices = class_indices(labels, task.labels)
    _check_known(indices, labels.cells.flatten(), rows.numbers[row_of_item], task, problems)
    matrix = np.zeros((rows.num_rows, len(task.labels)), np.int8)
    valid = indices.is_valid().to_numpy(zero_copy_only=False)
    columns = pc.fill_null(indices, 0).to_numpy(zero_copy_only=False)
    matrix[row_of_item[valid], columns[valid]] = 1
    return label_sets(matrix)


def _duplicate_notes(rows: FileRows, split: Split) -> tuple[str, ...]:
    """Notes on repeated texts, and on texts with two labels."""
    assert rows.labels is not None
    codes, first = distinct_texts(split)
    repeats = rows.num_rows - len(first)
    if not repeats:
        return ()
    origin = rows.file.origin
    notes = [f"{repeats} of {rows.num_rows} rows of {origin} repeat the text of an earlier row"]
    cells = rows.labels.cells
    keys = pc.binary_join(cells, "\x1f") if rows.labels.is_list else pc.utf8_lower(cells)
    label_codes = keys.dictionary_encode().indices.to_numpy(zero_copy_only=False)
    differs = np.flatnonzero(label_codes != label_codes[first][codes])
    if len(differs):
        row = int(differs[0])
        count, other = len(np.unique(codes[differs])), int(first[codes[row]])
        text = escape_control(split.row(row)["text"][:40])
        places = " and ".join(f"{rows.numbers[i]} ({_label_text(rows.labels, i)})" for i in (other, row))
        notes.append(
            f"{plural(count, 'text')} of {origin} with different labels, such as {rows.file.unit} {places}: {text!r}"
        )
    return tuple(notes)


def _label_text(labels: LabelCells, row: int) -> str:
    value = labels.cells[row].as_py()
    return escape_control(", ".join(value) if isinstance(value, list) else str(value))
