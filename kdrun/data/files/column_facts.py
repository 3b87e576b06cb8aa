"""Facts about all values of columns, counted in batches of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import pyarrow as pa

from kdrun.data.files.table_file import TableFile, is_text
from kdrun.data.splits import pc

GROUP = 8
"""Columns per pass over a file: the hashes of their values are in memory together."""
MIN_MERGED = 1 << 16
"""Hashes that are collected at least before repeated ones are dropped."""
HASH_BYTES = 8
"""Bytes of the hash by which values are compared."""


@dataclass(frozen=True)
class ColumnFacts:
    """Facts about all values of a column.

    Attributes:
        num_rows: number of rows.
        num_distinct: number of different values; None for lists, objects and columns without any value.
        has_own_name: whether a text is the name of the column.
    """

    num_rows: int
    num_distinct: int | None
    has_own_name: bool


def facts_of(file: TableFile, names: Sequence[str]) -> dict[str, ColumnFacts]:
    """Facts about columns by name; eight bytes per different value are in memory, not the values.

    Raises:
        DataError: the file is malformed.
    """
    facts = {}
    for start in range(0, len(names), GROUP):
        counters = [_Counter(name) for name in names[start : start + GROUP]]
        for batch in file.batches([counter.name for counter in counters]):
            for counter in counters:
                counter.add(batch.column(counter.name))
        facts |= {counter.name: counter.facts() for counter in counters}
    return facts


class _Counter:
    """Counts the different values of one column."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._hashes: list[np.ndarray] | None = []
        self._num_rows, self._has_own_name = 0, False

    def add(self, values: pa.Array) -> None:
        """Count the values of the next rows."""
        self._num_rows += len(values)
        if is_text(values.type):
            self._has_own_name |= bool(pc.any(pc.equal(values, self.name)).as_py())
        if self._hashes is None or pa.types.is_null(values.type):
            self._hashes = None
            return
        try:
            different = pc.unique(values).drop_null().to_pylist()
        except pa.ArrowNotImplementedError:
            self._hashes = None
            return
        hashes = [blake2b(str(value).encode(), digest_size=HASH_BYTES).digest() for value in different]
        self._hashes.append(np.frombuffer(b"".join(hashes), np.uint64))
        if sum(map(len, self._hashes[1:])) >= max(len(self._hashes[0]), MIN_MERGED):
            self._merge()

    def _merge(self) -> None:
        """Keep each hash once."""
        assert self._hashes is not None
        self._hashes = [np.unique(np.concatenate(self._hashes))] if self._hashes else []

    def facts(self) -> ColumnFacts:
        """The facts about the values so far."""
        count = None
        if self._hashes is not None:
            self._merge()
            count = sum(map(len, self._hashes))
        return ColumnFacts(self._num_rows, count, self._has_own_name)
