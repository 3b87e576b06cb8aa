"""Parse one row of a file of a teacher's answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kdrun.config.task import TaskConfig
from kdrun.data.class_names import ClassResolver
from kdrun.data.recorded.outputs import SUM_TOLERANCE
from kdrun.data.splits import TEXT_COLUMNS
from kdrun.errors import did_you_mean
from kdrun.formatting import shorten
from kdrun.storage.json_reader import is_finite

LOGITS, PROBABILITIES, SCORE = "logits", "probabilities", "score"
GENERATED = "teacher"
"""Key of the probabilities in a file of generated text."""
ANSWER_KEYS = (LOGITS, PROBABILITIES, GENERATED, SCORE)
"""Keys of a row's answer, the preferred one first: logits are exact, probabilities are rounded."""
COLUMNS = (*TEXT_COLUMNS, "id", "split", *ANSWER_KEYS)
"""Every key of a row that is read."""
MAX_ID = 2**62
SPLIT_NAMES = {"training": "train", "validation": "dev", "valid": "dev", "eval": "dev"}
"""Usual names of splits → kdrun's."""
MISSING = float("nan")
"""The value of a class that a row does not name."""


class AnswerRow(NamedTuple):
    """A parsed row.

    Attributes:
        split: name of the split that the id counts in; empty for the student's training rows.
        id: number of the row; -1 without one.
        texts: one or two texts; empty for a row that is identified by its id.
        values: one per class, `MISSING` for classes that the row does not name; of a task with a score, the score.
        form: `logits`, `probabilities` or `score`.
    """

    split: str
    id: int
    texts: tuple[str, ...]
    values: list[float]
    form: str


class RowParser:
    """Parses rows of one file.

    Args:
        task: gives texts and classes.
        labels: name of a class in the file → name in the task.
        classes: class names of lists of values; None if the file does not give them, which assumes the task's order.

    Attributes:
        resolver: finds classes by name.
        assumed_order: whether a list of values was read in the task's order, without names.
    """

    def __init__(self, task: TaskConfig, labels: Mapping[str, str] | None, classes: Sequence[str] | None) -> None:
        self.task, self.resolver = task, ClassResolver(task.labels, labels)
        self.assumed_order = False
        self._columns = TEXT_COLUMNS[: len(task.text)]
        self._classes = None if classes is None else list(classes)
        self._width = task.num_outputs

    def parse(self, row: Mapping[str, Any]) -> AnswerRow | str:
        """The parsed row, or its problem as a sentence."""
        texts = self._texts(row)
        if isinstance(texts, str):
            return texts
        number = _row_number(row.get("id"))
        if isinstance(number, str):
            return number
        if not texts and number < 0:
            return f"it has neither {' and '.join(self._columns)} nor an id (it has {_keys(row)})"
        split = row.get("split")
        if split is not None and not isinstance(split, str):
            return f"split must be text, got {split!r:.40}"
        answer = self._answer(row)
        if isinstance(answer, str):
            return answer
        return AnswerRow(SPLIT_NAMES.get(split or "", split or ""), number, texts, *answer)

    def _texts(self, row: Mapping[str, Any]) -> tuple[str, ...] | str:
        present = [name for name in TEXT_COLUMNS if row.get(name) is not None]
        if not present:
            return ()
        if tuple(present) != self._columns:
            count = "one text per row" if len(self._columns) == 1 else "two texts per row"
            return f"it has {' and '.join(present)}, and task={self.task.name} has {count} ({', '.join(self._columns)})"
        for name in present:
            if not isinstance(row[name], str):
                return f"{name} must be text, got {row[name]!r:.40}"
        return tuple(row[name] for name in present)

    def _answer(self, row: Mapping[str, Any]) -> tuple[list[float], str] | str:
        key = next((name for name in ANSWER_KEYS if row.get(name) is not None), None)
        if key is None:
            wanted = SCORE if self.task.is_regression else f"{PROBABILITIES} or {LOGITS}"
            hints = [did_you_mean(name, ANSWER_KEYS) for name in row if name not in COLUMNS]
            return f"it has no {wanted} (it has {_keys(row)}){next(filter(None, hints), '')}"
        if self.task.is_regression:
            return self._score(key, row[key])
        if key == SCORE:
            return f"score is one number, and task={self.task.name} has classes; give {PROBABILITIES} or {LOGITS}"
        values = self._values(key, row[key])
        return values if isinstance(values, str) else (values, LOGITS if key == LOGITS else PROBABILITIES)

    def _score(self, key: str, value: Any) -> tuple[list[float], str] | str:
        if key not in (SCORE, LOGITS):
            return f"it has {key}, and task={self.task.name} predicts a score; give score: a number"
        numbers: list[Any] = value if isinstance(value, list) else [value]
        number = numbers[0] if len(numbers) == 1 else None
        if number is None or not is_finite(number):
            return f"{key} must be a finite number, got {value!r:.40}"
        low, high = self.task.range
        if key == SCORE and not low - (high - low) <= number <= high + (high - low):
            return f"the score is {number:g}; expected a number from about {low:g} to {high:g}"
        return [float(number)], SCORE

    def _values(self, key: str, value: Any) -> list[float] | str:
        """One value per class of the task."""
        if isinstance(value, list) and value and all(isinstance(item, tuple) and len(item) == 2 for item in value):
            value = dict(value)  # a map column of Parquet
        if isinstance(value, Mapping):
            named = {str(name): item for name, item in value.items() if item is not None}
        elif isinstance(value, list):
            names = self._classes
            if names is None:
                names, self.assumed_order = self.task.labels, True
            if len(value) != len(names):
                return f"{key} has {len(value)} values for {len(names)} classes ({', '.join(names[:12])})"
            named = dict(zip(names, value, strict=True))
        else:
            return f"{key} must be an object {{class: number}} or a list of numbers, got {value!r:.40}"
        return self._by_class(key, named)

    def _by_class(self, key: str, named: Mapping[str, Any]) -> list[float] | str:
        values = [MISSING] * self._width
        for name, item in named.items():
            index = self.resolver.index(name)
            if index is None:
                labels = self.task.labels
                known = shorten(", ".join(labels), 200)
                return (
                    f"{key} has {name!r:.60}, which is not a class{did_you_mean(name, labels)} (classes: {known}; map "
                    "names with teacher.labels={…})"
                )
            if not is_finite(item):
                return f"{key} of {name!r:.60} must be a finite number, got {item!r:.40}"
            if values[index] == values[index]:
                return f"{key} names the class {self.task.labels[index]!r} twice ({', '.join(map(str, named))})"
            if key != LOGITS and not 0 <= item <= 1:
                return f"{key} of {name!r:.60} must be a number from 0 to 1, got {item!r:.40}"
            values[index] = float(item)
        if not named:
            return f"{key} is empty"
        return self._sum_problem(key, list(named.values())) or values

    def _sum_problem(self, key: str, values: list[float]) -> str:
        """Why values are not the logits or probabilities of one row; empty if they are."""
        num_absent = self._width - len(values)
        if key == LOGITS or self.task.is_multi_label:
            only = f"only probabilities of a task with one class per row may (task={self.task.name})"
            return f"{key} lack {num_absent} of {self._width} classes; {only}" if num_absent else ""
        total = sum(values)
        if total > 1 + SUM_TOLERANCE or (not num_absent and total < 1 - SUM_TOLERANCE):
            return f"{key} sum to {total:.4g} instead of {'at most ' if num_absent else ''}1"
        return ""


def _row_number(value: Any) -> int | str:
    if value is None:
        return -1
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < MAX_ID:
        return f"id must be the number of a row, counted from 0, got {value!r:.40}"
    return value


def _keys(row: Mapping[str, Any]) -> str:
    return shorten(", ".join(map(str, row)), 120) or "nothing"
