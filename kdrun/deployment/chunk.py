"""Rows of a file in memory, by column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

CHUNK_ROWS = 4096
"""Rows that are sorted by length together and are in memory at once."""
CHUNK_BYTES = 1 << 24
"""Size of the rows from which a chunk has fewer rows."""


class Chunk:
    """Some rows of a file in order.

    Args:
        columns: values of each column, [rows] each.
        numbers: number of each row in the file, from 1.
        unit: unit of the numbers, `line` or `row`.
        objects: the rows, if they differ in their keys; then `columns` is empty.

    Attributes:
        objects: the rows, if they differ in their keys or in the order of their keys; else None.
    """

    def __init__(
        self,
        columns: Mapping[str, Sequence[Any]],
        numbers: Sequence[int],
        unit: str,
        objects: Sequence[dict[str, Any]] | None = None,
    ) -> None:
        self.columns, self.numbers, self.unit, self.objects = columns, numbers, unit, objects

    @staticmethod
    def of_objects(rows: Sequence[dict[str, Any]], numbers: Sequence[int], unit: str) -> Chunk:
        """A chunk of objects, by column if all have the same keys in the same order."""
        names = tuple(rows[0])
        if any(tuple(row) != names for row in rows):
            return Chunk({}, numbers, unit, rows)
        values = zip(*(row.values() for row in rows), strict=True)
        return Chunk(dict(zip(names, values, strict=True)), numbers, unit)

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        return len(self.numbers)

    def column(self, name: str) -> Sequence[Any]:
        """The values of a column, [rows]; None where a row lacks it."""
        if self.objects is not None:
            return [row.get(name) for row in self.objects]
        return self.columns[name] if name in self.columns else [None] * self.num_rows

    def select(self, names: Sequence[str]) -> Chunk:
        """The same rows with these columns only."""
        return Chunk({name: self.column(name) for name in names}, self.numbers, self.unit)


def grouped(items: Iterable[tuple[int, Any, int]]) -> Iterator[tuple[list[int], list[Any]]]:
    """Numbers and contents of rows in groups of `CHUNK_ROWS`, or fewer long ones.

    Args:
        items: number, content and size in bytes of each row.
    """
    numbers: list[int] = []
    rows: list[Any] = []
    total = 0
    for number, row, size in items:
        numbers.append(number)
        rows.append(row)
        total += size
        if len(rows) == CHUNK_ROWS or total >= CHUNK_BYTES:
            yield numbers, rows
            numbers, rows, total = [], [], 0
    if rows:
        yield numbers, rows
