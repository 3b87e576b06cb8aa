"""Answers of a task type on rows, by column."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

PREDICTION, PROBABILITIES, LOGITS = "prediction", "probabilities", "logits"
SCALE = 1e6
"""Probabilities in files have six digits."""


@dataclass(frozen=True)
class Answers:
    """Answers on rows.

    Attributes:
        columns: `prediction` and further values, [rows] each.
        probabilities: a column per class, [rows] each; None for a task without probabilities.
    """

    columns: Mapping[str, Sequence[Any]]
    probabilities: Mapping[str, Sequence[float | None]] | None = None

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        return len(self.columns[PREDICTION])

    @property
    def names(self) -> list[str]:
        """Keys of the record of a row."""
        return [*self.columns, *([] if self.probabilities is None else [PROBABILITIES])]

    def records(self) -> list[dict[str, Any]]:
        """A record per row, with the probabilities as an object by class."""
        records = _rows(self.columns, self.num_rows)
        if self.probabilities is None:
            return records
        values = _rows(self.probabilities, self.num_rows)
        return [record | {PROBABILITIES: row} for record, row in zip(records, values, strict=True)]

    def with_gaps(self, gaps: Collection[int], empty: Mapping[str, Any]) -> Answers:
        """The answers with empty rows between them.

        Args:
            gaps: indices of the empty rows in the result.
            empty: values of an empty row other than None, by column.
        """
        if not gaps:
            return self
        places = [index for index in range(self.num_rows + len(gaps)) if index not in gaps]
        columns = {name: _spread(values, places, len(gaps), empty.get(name)) for name, values in self.columns.items()}
        if self.probabilities is None:
            return replace(self, columns=columns)
        values = {name: _spread(column, places, len(gaps), None) for name, column in self.probabilities.items()}
        return Answers(columns, values)


def _rows(columns: Mapping[str, Sequence[Any]], num_rows: int) -> list[dict[str, Any]]:
    if not columns:
        return [{} for _ in range(num_rows)]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _spread(values: Sequence[Any], places: Sequence[int], num_gaps: int, gap: Any) -> list[Any]:
    column = [gap] * (len(places) + num_gaps)
    for place, value in zip(places, values, strict=True):
        column[place] = value
    return column


def rounded(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities with six digits, as Python's `round` gives them, float64.

    Python rounds the exact value of a float. Here a float is multiplied by 10⁶ first, which may move a value that is
    close to the middle of two results; those few are rounded by Python.

    Args:
        probabilities: of any shape, 0 … 1.
    """
    exact = probabilities.astype(np.float64)
    scaled = exact * SCALE
    result = np.rint(scaled) / SCALE
    middle = np.abs(scaled - np.floor(scaled) - 0.5) < 1e-6
    if middle.any():
        result[middle] = [round(value, 6) for value in exact[middle].tolist()]
    return result


def logit_rows(logits: np.ndarray) -> list[list[float]]:
    """Logits for files, rounded to six digits after the point, [rows][classes]."""
    return np.round(logits.astype(np.float64), 6).tolist()


def columns_by_name(probabilities: np.ndarray, names: Sequence[str]) -> dict[str, list[float]]:
    """The probabilities of each class by its name, rounded to six digits for files, [rows] each.

    Args:
        probabilities: [rows, classes].
        names: names of the classes.
    """
    return dict(zip(names, rounded(probabilities.T).tolist(), strict=True))


def by_name(probabilities: np.ndarray, names: Sequence[str]) -> list[dict[str, float]]:
    """The probabilities of each row by class name, rounded to six digits for files.

    Args:
        probabilities: [rows, classes].
        names: names of the classes.
    """
    return [dict(zip(names, row, strict=True)) for row in rounded(probabilities).tolist()]
