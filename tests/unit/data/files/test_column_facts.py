"""Facts about columns: the counts of Arrow, from batches."""

from __future__ import annotations

import datetime
from typing import Any

import pyarrow as pa
import pytest

from kdrun.data.files import column_facts, table_file
from kdrun.data.files.column_facts import facts_of
from kdrun.data.files.table_file import ArrowTable
from kdrun.data.splits import pc

COUNT = 300
COLUMNS: dict[str, list[Any]] = {
    "text": [f"text {i % 77}" for i in range(COUNT)],
    "missing": [None if i % 2 else f"{i}" for i in range(COUNT)],
    "number": [i % 9 for i in range(COUNT)],
    "fraction": [i % 5 / 7 for i in range(COUNT)],
    "flag": [i % 2 == 0 for i in range(COUNT)],
    "date": [datetime.date(2026, 1, 1 + i % 31) for i in range(COUNT)],
    "name": ["name" if i == 250 else "x" for i in range(COUNT)],
    "last": ["same"] * COUNT,
}


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_file, "MAX_ROWS", 32)
    monkeypatch.setattr(column_facts, "MIN_MERGED", 16)


def test_numbers_of_different_values_are_those_of_arrow() -> None:
    table = pa.table(COLUMNS)
    facts = facts_of(ArrowTable(table, "rows"), table.column_names)
    assert list(facts) == list(COLUMNS)
    assert {name: fact.num_distinct for name, fact in facts.items()} == {
        name: pc.count_distinct(table.column(name)).as_py() for name in COLUMNS
    }
    assert {fact.num_rows for fact in facts.values()} == {COUNT}
    assert [name for name, fact in facts.items() if fact.has_own_name] == ["name"]


def test_lists_objects_and_missing_values_have_no_number_of_different_values() -> None:
    count = 2 * COUNT
    columns = {"labels": [["a"], ["b", "a"]] * COUNT, "objects": [{"a": 1}] * count, "empty": [None] * count}
    facts = facts_of(ArrowTable(pa.table(columns), "rows"), list(columns))
    assert [fact.num_distinct for fact in facts.values()] == [None, None, None]
