"""Collect and report malformed rows of a data file."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from kdrun.config.task import TaskConfig
from kdrun.data import arrow_arrays
from kdrun.data.splits import Split, pc
from kdrun.errors import DataError
from kdrun.formatting import plural

NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"


@dataclass
class RowProblems:
    """Problems of the rows of one file: the first ones as sentences, and their number.

    Attributes:
        origin: the file or split of the rows.
        max_shown: number of problems to write out.
    """

    origin: str
    max_shown: int = 5
    count: int = 0
    lines: list[tuple[int, str]] = dataclasses.field(default_factory=list)

    def add(self, bad: np.ndarray, where: np.ndarray, sentences: Iterator[str]) -> None:
        """Add the rows where `bad` is true; `where` holds all line numbers, `sentences` one per bad row."""
        numbers = where[bad]
        self.count += len(numbers)
        self.lines += list(zip(numbers[: self.max_shown].tolist(), sentences, strict=False))

    def add_one(self, line: int, sentence: str) -> None:
        """Add one row."""
        self.count += 1
        if len(self.lines) < self.max_shown:
            self.lines.append((line, sentence))

    def raise_if_any(self, unit: str = "line", remedy: str = "Rows are not dropped: fix them.") -> None:
        """Report the problems, if there are any.

        Args:
            unit: the unit of the numbers.
            remedy: a remedy, as a sentence.

        Raises:
            DataError: with the first problems in line order, and the number of further ones.
        """
        if not self.count:
            return
        text = [f"  - {unit} {line}: {sentence}" for line, sentence in sorted(self.lines)[: self.max_shown]]
        if self.count > len(text):
            text.append(f"  - … and {self.count - len(text)} more")
        head = plural(self.count, "problem")
        raise DataError(f"{self.origin} has {head}:\n" + "\n".join(text) + f"\n{remedy}")


def check_texts(problems: RowProblems, texts: list[pa.Array], where: np.ndarray) -> tuple[str, ...]:
    """Refuse examples without any text; return a note on pairs with one empty text.

    QQP as released has a few blank questions. They are kept like other examples, and noted.
    """
    return empty_texts(problems, [_mask(pc.equal(pc.utf8_trim_whitespace(text), "")) for text in texts], where)


def empty_texts(problems: RowProblems, empty: list[np.ndarray], where: np.ndarray) -> tuple[str, ...]:
    """As `check_texts`, for masks of the empty texts of each column, [rows] each."""
    all_empty = np.logical_and.reduce(empty)
    problems.add(all_empty, where, iter(["the text is empty"] * problems.max_shown))
    half = int((np.logical_or.reduce(empty) & ~all_empty).sum())
    return (f"{half} pairs of {problems.origin} have an empty text",) if half else ()


def check_scores(problems: RowProblems, scores: pa.Array, cells: pa.Array, task: TaskConfig, where: np.ndarray) -> None:
    """Refuse scores that are null, NaN or outside the task's range; `cells` are the values of the source."""
    low, high = task.range
    values = scores.cast(pa.float64()).to_numpy(zero_copy_only=False)
    # NaN (and null, which becomes NaN) is in no range
    bad = ~((values >= low) & (values <= high))
    expected = f"expected a number from {low:g} to {high:g}"
    values = pc.filter(cells, pa.array(bad)).slice(0, problems.max_shown).to_pylist()
    problems.add(bad, where, (f"the score is {_quoted(value)}; {expected}" for value in values))


def check_classes(
    problems: RowProblems, classes: pa.Array, cells: pa.Array, task: TaskConfig, where: np.ndarray
) -> None:
    """Refuse labels that are null or no class index of the task; `cells` are the values of the source."""
    values = arrow_arrays.to_numpy(pc.fill_null(classes, -1) if classes.null_count else classes)
    bad = (values < 0) | (values >= len(task.labels))
    allowed = ", ".join(f"{name} or {index}" for index, name in enumerate(task.labels))
    wrong = pc.filter(cells, pa.array(bad)).slice(0, problems.max_shown).to_pylist() if bad.any() else []
    problems.add(bad, where, (f"the label is {_quoted(value)}; expected {allowed}" for value in wrong))


def class_indices(label_texts: pa.Array, task: TaskConfig) -> pa.Array:
    """Class indices of labels given as names (in any case) or as indices, `1` or `1.0`; null for other text."""
    names = pa.array([label.lower() for label in task.labels], label_texts.type)
    digits = pa.array([str(index) for index in range(len(task.labels))], label_texts.type)
    by_name = pc.index_in(pc.utf8_lower(label_texts), value_set=names)
    whole = pc.replace_substring_regex(label_texts, r"^([0-9]+)\.0+$", r"\1")
    return pc.coalesce(by_name, pc.index_in(whole, value_set=digits))


def scores(label_texts: pa.Array) -> pa.Array:
    """Scores as float64; null for text that is not a finite decimal number."""
    numeric = pc.match_substring_regex(label_texts, NUMBER)
    return pc.if_else(numeric, label_texts, pa.scalar(None, label_texts.type)).cast(pa.float64())


def check_split(split: Split, task: TaskConfig) -> None:
    """Check that the columns of a split fit the task, for any source.

    Raises:
        DataError: the number of texts, the type of the labels, or a class index does not fit.
    """
    if split.is_pair != (len(task.text) > 1):
        count = plural(2 if split.is_pair else 1, "text")
        raise DataError(f"{split.origin} has {count} per row; task={task.name} has {len(task.text)} (task.text)")
    label_type = split.table.schema.field("label").type
    if task.is_text:
        valid, needed = pa.types.is_string(label_type), "text"
    elif task.is_multi_label:
        size = label_type.list_size if pa.types.is_fixed_size_list(label_type) else None
        valid, needed = size == len(task.labels), f"a list of {len(task.labels)} values 0 or 1, one per class"
    elif task.is_regression:
        valid, needed = pa.types.is_integer(label_type) or pa.types.is_floating(label_type), "numbers"
    else:
        valid = pa.types.is_integer(label_type)
        needed = f"class indices, integers from 0 to {len(task.labels) - 1} ({', '.join(task.labels)})"
    if not valid:
        example = split.table.column("label")[0].as_py()
        raise DataError(
            f"{split.origin} has labels of type {label_type}, such as {_quoted(example)}; "
            f"task={task.name} needs {needed}"
        )
    if task.labels and not task.is_multi_label:
        problems, labels = RowProblems(split.origin), split.table.column("label")
        check_classes(problems, labels, labels, task, np.arange(split.num_rows))
        problems.raise_if_any("row")


def _mask(array: pa.Array) -> np.ndarray:
    return array.to_numpy(zero_copy_only=False)


def _quoted(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
