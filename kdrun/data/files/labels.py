"""Read the labels of a file as classes, scores or sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from kdrun.config.task import TaskKind
from kdrun.data.files.table_file import TableFile, is_list, is_text
from kdrun.data.row_checks import NUMBER, RowProblems
from kdrun.data.splits import pc
from kdrun.errors import DataError
from kdrun.formatting import escape_control, plural

MAX_CLASSES = 100
"""Different whole numbers up to which a column is taken for classes."""
MAX_TEXT_CLASSES = 1000
"""Different texts up to which a column is taken for classes."""
MIN_SCORES = 20
"""Different fractional numbers from which a column is taken for scores."""
MISSING_NAMES = ("na", "n/a", "nan", "null", "none", "nil", "-")
"""Names that other tools read as a missing value, in lower case."""
TRUE, FALSE = ("1", "true", "yes"), ("0", "false", "no")
"""Cells of a column that says whether a row has a label, in lower case."""


@dataclass(frozen=True)
class LabelCells:
    """The labels of a file as texts, before they have a meaning.

    Attributes:
        cells: text of each row's label, or a list of texts; null where missing.
        columns: names of several label columns; one otherwise.
        class_names: names that the format stores, in order; empty if it stores none.
    """

    cells: pa.Array
    columns: list[str]
    class_names: list[str]

    @property
    def is_list(self) -> bool:
        """Whether a row has a list of labels."""
        return is_list(self.cells.type)


def read_cells(file: TableFile, table: pa.Table, columns: Sequence[str], numbers: np.ndarray) -> LabelCells:
    """The labels of a file as texts.

    Args:
        file: the file, for stored class names and messages.
        table: its rows.
        columns: the label columns.
        numbers: number of each row in messages.

    Raises:
        DataError: a column has dates or objects, or several columns have other values than 0 and 1.
    """
    if len(columns) > 1:
        return LabelCells(_from_indicators(file, table, columns, numbers), list(columns), list(columns))
    name = columns[0]
    values = table.column(name).combine_chunks()
    stored = file.class_names(name)
    if is_list(values.type):
        items = _texts(values.flatten(), stored, file, name)
        counts = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
        offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
        cells = pa.ListArray.from_arrays(offsets, items, mask=values.is_null() if values.null_count else None)
        return LabelCells(cells, [name], stored)
    return LabelCells(_texts(values, stored, file, name), [name], stored)


def _texts(values: pa.Array, stored: list[str], file: TableFile, name: str) -> pa.Array:
    """Label values as trimmed texts; whole numbers without decimals, empty texts as null."""
    data_type = values.type
    if stored and pa.types.is_integer(data_type):
        # −1 marks an unlabeled row in data sets of the hub
        valid = pc.and_(pc.greater_equal(values, 0), pc.less(values, len(stored)))
        return pc.take(pa.array(stored, pa.string()), pc.if_else(valid, values, pa.scalar(None, data_type)))
    if is_text(data_type):
        texts = pc.utf8_trim_whitespace(values)
        return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)
    if pa.types.is_null(data_type):
        return values.cast(pa.string())
    if pa.types.is_boolean(data_type) or pa.types.is_integer(data_type):
        return values.cast(pa.string())
    if pa.types.is_floating(data_type) or pa.types.is_decimal(data_type):
        numbers = values.cast(pa.float64())
        numbers = pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)
        return numbers.cast(pa.string())
    kind = "dates" if pa.types.is_temporal(data_type) else "objects"
    raise DataError(f"{file.origin}: the label column {name!r} has {kind} ({data_type}); a label is text or a number")


def _from_indicators(file: TableFile, table: pa.Table, columns: Sequence[str], numbers: np.ndarray) -> pa.Array:
    """Lists of the columns whose cell is 1 in a row."""
    problems, flags = RowProblems(file.origin), []
    for name in columns:
        cells = _texts(table.column(name).combine_chunks(), [], file, name)
        lower = pc.replace_substring_regex(pc.utf8_lower(cells), r"\.0+$", "")
        yes, no = (pc.fill_null(pc.is_in(lower, pa.array(values)), False) for values in (TRUE, FALSE))
        flags.append(yes.to_numpy(zero_copy_only=False))
        bad = ~pc.or_(yes, no).to_numpy(zero_copy_only=False)
        wrong = pc.filter(cells, pa.array(bad)).slice(0, problems.max_shown).to_pylist()
        problems.add(bad, numbers, (f"{name} is {_quoted(value)}; expected 0 or 1" for value in wrong))
    problems.raise_if_any(file.unit, "Several label columns say for each label whether the row has it.")
    matrix = np.stack(flags, axis=1)
    offsets = pa.array(np.concatenate([[0], np.cumsum(matrix.sum(axis=1))]).astype(np.int32))
    return pa.ListArray.from_arrays(offsets, pa.array(list(columns)).take(pa.array(np.nonzero(matrix)[1])))


def _quoted(value: str | None) -> str:
    return "missing" if value is None else repr(escape_control(value[:40]))


def find_kind(labels: LabelCells, kind: TaskKind | None, origin: str) -> TaskKind:
    """The kind of a task, inferred from the label cells of its training rows where the config does not give it.

    Raises:
        DataError: the cells do not fit the given kind, or do not tell the kind.
    """
    name = labels.columns[0]
    if labels.is_list:
        if kind not in (None, TaskKind.multi_label):
            raise DataError(f"{origin}: task.kind={kind.value}, but the label column {name!r} has lists of labels")
        return TaskKind.multi_label
    if kind is TaskKind.multi_label:
        raise DataError(
            f"{origin}: task.kind=multi_label needs lists of labels (JSON lines, Parquet) or several columns of 0 and "
            f"1 ('task.label=[A,B]'); the column {name!r} has one value per row"
        )
    if kind is not None:
        return kind
    values = pc.unique(labels.cells.drop_null())
    numeric = pc.all(pc.match_substring_regex(values, NUMBER)).as_py()
    ask = "say which with task.kind=classes or task.kind=score"
    if not numeric or labels.class_names:
        if len(values) > MAX_TEXT_CLASSES and len(values) > len(labels.cells) / 2:
            raise DataError(
                f"{origin}: the label column {name!r} has {len(values)} different texts in {len(labels.cells)} rows, "
                f"such as {_quoted(values[0].as_py())}; choose another with task.label=COLUMN, or {ask}"
            )
        return TaskKind.classes
    whole = pc.all(pc.match_substring_regex(values, r"^[+-]?[0-9]+(\.0*)?$")).as_py()
    if whole and len(values) <= MAX_CLASSES:
        return TaskKind.classes
    if not whole and len(values) >= MIN_SCORES:
        return TaskKind.score
    numbers = "whole" if whole else "fractional"
    raise DataError(
        f"{origin}: the label column {name!r} has {plural(len(values), f'different {numbers} number')}, such as "
        f"{values[0].as_py()}; {ask}"
    )


@dataclass(frozen=True)
class ClassNames:
    """Names of the classes, and the spellings that files may have.

    Attributes:
        names: one per class, in order.
        notes: remarks on the names, as sentences.
    """

    names: list[str]
    notes: tuple[str, ...] = ()


def infer_classes(labels: LabelCells, origin: str) -> ClassNames:
    """Names of the classes in the training rows: numbers in their order, other names in alphabetical order.

    Spellings that differ in upper and lower case, or whole numbers with and without decimals, are one class.

    Raises:
        DataError: there are fewer than two classes.
    """
    if labels.class_names:
        return ClassNames(labels.class_names)
    cells = labels.cells.flatten() if labels.is_list else labels.cells
    counts = {item["values"]: item["counts"] for item in pc.value_counts(cells.drop_null()).to_pylist()}
    by_key: dict[str, Counter[str]] = {}
    for name, count in counts.items():
        by_key.setdefault(class_key(name), Counter())[name] += count
    names = {key: whole_number(spellings.most_common(1)[0][0]) for key, spellings in by_key.items()}
    notes = [
        f"{origin}: {join_counts(spellings)} are one class, {names[key]!r}"
        for key, spellings in by_key.items()
        if len(spellings) > 1
    ]
    notes += [
        f"{origin}: the label {name!r} ({plural(count, 'row')}) is a class of this name, not a missing value"
        for name, count in counts.items()
        if name.lower() in MISSING_NAMES
    ]
    if len(names) < 2 and not labels.is_list:
        found = f"only the class {_quoted(next(iter(names.values())))}" if names else "no labels"
        raise DataError(f"{origin} has {found} in {plural(len(cells), 'row')}; a task needs two classes or more")
    return ClassNames(sorted(names.values(), key=_order(list(names.values()))), tuple(notes))


def join_counts(spellings: Counter[str]) -> str:
    """Spellings of a class with their numbers of rows."""
    return " and ".join(f"{name!r} ({plural(count, 'row')})" for name, count in spellings.most_common(4))


def class_key(name: str) -> str:
    """The form by which spellings of a class are compared: lower case, `1` for `1.0`."""
    return whole_number(name).lower()


def whole_number(name: str) -> str:
    """A whole number without its decimals; any other name unchanged."""
    head, point, decimals = name.partition(".")
    is_whole = point and head.lstrip("+-").isdigit() and not decimals.strip("0")
    return head if is_whole else name


def _order(names: list[str]):  # noqa: ANN202
    """Sort key of class names: by value if all are whole numbers."""
    if all(name.lstrip("+-").isdigit() for name in names):
        return lambda name: (int(name), name)
    return lambda name: (name.lower(), name)


def class_indices(labels: LabelCells, names: Sequence[str]) -> pa.Array:
    """Index of the class of each cell, or lists of indices; null for a missing or unknown name."""
    cells = labels.cells.flatten() if labels.is_list else labels.cells
    keys = pc.utf8_lower(pa.array([whole_number(name) for name in names], pa.string()))
    plain = pc.utf8_lower(pc.replace_substring_regex(cells, r"^([+-]?[0-9]+)\.0*$", r"\1"))
    return pc.index_in(plain, value_set=keys)


def score_values(cells: pa.Array) -> pa.Array:
    """Scores as float64; null for text that is no finite number."""
    numeric = pc.match_substring_regex(cells, NUMBER)
    return pc.if_else(numeric, cells, pa.scalar(None, pa.string())).cast(pa.float64())
