"""Match recorded answers with the rows of a split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kdrun.config.task import TaskConfig
from kdrun.data.recorded import outputs
from kdrun.data.recorded.table import RecordedTable
from kdrun.data.splits import KEY_BYTES, TEXT_COLUMNS, Split, text_keys
from kdrun.errors import DataError
from kdrun.formatting import plural

MAX_DIFFERENCE = 1e-3
"""Largest difference between the probabilities of two rows of one text; of scores, as a share of the task's range."""
MOST_NAMED = 3
"""Rows without an answer, and conflicting rows, that an error names."""
SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class Matcher:
    """Finds the recorded row of each row of a split.

    A row with texts belongs to the rows of this text in any split. Among several such rows, the one with the number
    and the split of the row is chosen. A row without texts belongs to the row of its number in its split.

    Attributes:
        table: rows of one file.
        task: of the rows.
    """

    table: RecordedTable
    task: TaskConfig

    def check(self) -> None:
        """Refuse rows that belong to the same text, or to the same number, and have different answers.

        Raises:
            DataError: names the first rows.
        """
        table, problems, count = self.table, [], 0
        for order, is_same, what in self._neighbors():
            first = _firsts(is_same)
            rows, references = order[is_same], order[first[is_same]]
            bad = self._difference(rows, references) > MAX_DIFFERENCE
            count += int(bad.sum())
            for row, reference in list(zip(rows[bad], references[bad], strict=True))[:MOST_NAMED]:
                values = [", ".join(f"{x:.3f}" for x in self._answers(np.array([i]))[0][:6]) for i in (reference, row)]
                lines = f"rows {table.lines[reference]} and {table.lines[row]}"
                problems.append(f"{lines} have one {what} and different answers ({values[0]}; {values[1]})")
        if problems:
            head = f"{table.origin} has {plural(count, 'conflict')}:"
            lines = [*problems[:MOST_NAMED], *([f"… and {count - MOST_NAMED} more"] if count > MOST_NAMED else [])]
            raise DataError("\n  - ".join([head, *lines]) + "\nLeave one row per text, or record the teacher again.")

    def _neighbors(self) -> Iterator[tuple[np.ndarray, np.ndarray, str]]:
        """Sorted row numbers, whether each row has the key of the one before, and the name of the key."""
        order, keys = self._by_text
        yield order, _repeats(keys), "text"
        order, numbers, codes = self._by_number
        without_text = self.table.keys[order] == b""
        order, numbers, codes = order[without_text], numbers[without_text], codes[without_text]
        yield order, _repeats(numbers) & _repeats(codes), "id"

    def _answers(self, rows: np.ndarray) -> np.ndarray:
        """Probabilities, or scores as a share of the range, [rows, outputs]."""
        logits = self.table.logits[rows]
        if self.task.is_regression:
            return logits.astype(np.float64) / (self.task.range[1] - self.task.range[0])
        return outputs.probabilities_of(logits, self.task)

    def _difference(self, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        if not len(rows):
            return np.zeros(0)
        return np.abs(self._answers(rows) - self._answers(others)).max(axis=1)

    @cached_property
    def _by_text(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows with texts in the order of their keys, and these keys; rows of one key in the file's order."""
        rows = np.flatnonzero(self.table.keys != b"")
        order = rows[np.argsort(self.table.keys[rows], kind="stable")]
        return order, self.table.keys[order]

    @cached_property
    def _by_number(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows with a number in the order of split and number, with numbers and codes of splits."""
        rows = np.flatnonzero(self.table.ids >= 0)
        order = rows[np.lexsort((self.table.ids[rows], self.table.split_codes[rows]))]
        return order, self.table.ids[order], self.table.split_codes[order]

    def rows_of(self, split: Split, *, is_student: bool) -> np.ndarray:
        """Row of the table for each row of a split, [rows]; -1 without one.

        Args:
            split: the rows.
            is_student: whether these are the student's training rows, which rows without a split belong to.

        Raises:
            DataError: a row without text has a number beyond the end of the split.
        """
        keys = np.frombuffer(text_keys(split).buffers()[1], f"S{KEY_BYTES}")
        order, sorted_keys = self._by_text
        found = np.full(split.num_rows, -1, np.int64)
        if len(order):
            places = np.minimum(np.searchsorted(sorted_keys, keys), len(order) - 1)
            found = np.where(sorted_keys[places] == keys, order[places], -1)
        codes = [self.table.split_names.index(name) for name in (split.name, *([""] if is_student else []))
                 if name in self.table.split_names]  # fmt: skip
        for code in codes:
            found = self._prefer_number(found, keys, split, code)
        return found

    def _prefer_number(self, found: np.ndarray, keys: np.ndarray, split: Split, code: int) -> np.ndarray:
        """The rows found so far, replaced by rows of the same number whose text is the same or not given."""
        order, ids, codes = self._by_number
        order, ids = order[codes == code], ids[codes == code]
        if not len(order):
            return found
        self._check_numbers(order, ids, split)
        numbers = np.arange(split.num_rows) if split.row_numbers is None else split.row_numbers
        places = np.minimum(np.searchsorted(ids, numbers), len(ids) - 1)
        rows = order[places]
        fits = (ids[places] == numbers) & ((self.table.keys[rows] == keys) | (self.table.keys[rows] == b""))
        return np.where(fits, rows, found)

    def _check_numbers(self, order: np.ndarray, ids: np.ndarray, split: Split) -> None:
        if split.row_numbers is not None:
            return  # a subset does not know the size of its source
        beyond = np.flatnonzero((ids >= split.num_rows) & (self.table.keys[order] == b""))
        if len(beyond):
            first = beyond[0]
            raise DataError(
                f"{self.table.origin}, row {self.table.lines[order[first]]}: id is {ids[first]}, and {split.name} "
                f"({split.origin}) has rows 0 … {split.num_rows - 1}; {plural(len(beyond), 'row')} in all. The answers "
                "were recorded for other rows"
            )


def missing_rows(split: Split, found: np.ndarray, origin: str) -> str:
    """The rows of a split without an answer, as a sentence; empty if all have one."""
    missing = np.flatnonzero(found < 0)
    if not len(missing):
        return ""
    shown = [f"row {row} ({_text(split, row)})" for row in missing[:MOST_NAMED].tolist()]
    more = f" … and {len(missing) - len(shown)} more" if len(missing) > len(shown) else ""
    sentence = (
        f"{origin} has no answer for {len(missing)} of {split.num_rows} rows of {split.name} ({split.origin}): "
        f"{', '.join(shown)}{more}"
    )
    if len(missing) == split.num_rows:
        sentence += ". No text of the file is a text of these rows: they are compared letter for letter"
    return sentence


def _text(split: Split, number: int) -> str:
    row = split.row(number)
    text = " | ".join(row[name] for name in TEXT_COLUMNS if row.get(name) is not None)
    return repr(text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…")


def _repeats(values: np.ndarray) -> np.ndarray:
    """Whether each value equals the one before."""
    return np.concatenate([np.zeros(min(1, len(values)), bool), values[1:] == values[:-1]])


def _firsts(is_same: np.ndarray) -> np.ndarray:
    """Position of the first row of each row's run of repeats."""
    positions = np.arange(len(is_same))
    return np.maximum.accumulate(np.where(is_same, 0, positions)) if len(is_same) else positions
