"""Columns chosen by name and by content."""

from __future__ import annotations

import pyarrow as pa
import pytest

from kdrun.data.files.columns import choose_columns
from kdrun.data.files.table_file import ArrowTable
from kdrun.errors import DataError

LONG = [f"a remark of number {i}" for i in range(8)]
FEW = ["no", "yes"] * 4


def chosen(
    columns: dict[str, list], text: tuple[str, ...] = (), label: tuple[str, ...] | None = ()
) -> tuple[list[str], list[str]]:
    result = choose_columns(ArrowTable(pa.table(columns), "rows"), text, label)
    return result.text, result.label


def test_names_decide_before_content() -> None:
    assert chosen({"Text": FEW, "title": LONG, "Label": LONG}) == (["Text"], ["Label"])
    assert chosen({"text": LONG, "label": FEW, "label_text": FEW, "score": [0.5] * 8}) == (["text"], ["label"])
    assert chosen({"premise": LONG, "hypothesis": LONG, "gold_label": FEW}) == (
        ["premise", "hypothesis"],
        ["gold_label"],
    )


def test_content_decides_where_names_are_unknown() -> None:
    assert chosen({"id": list(range(8)), "remark": LONG, "outcome": FEW}) == (["remark"], ["outcome"])
    assert chosen({"remark": LONG, "outcome": [1, 2] * 4}) == (["remark"], ["outcome"])


def test_given_columns_leave_the_other_to_inference() -> None:
    assert chosen({"a": LONG, "b": LONG, "outcome": FEW}, text=("b",)) == (["b"], ["outcome"])
    assert chosen({"a": FEW, "b": LONG, "outcome": FEW}, label=("a",)) == (["b"], ["a"])
    assert chosen({"remark": LONG, "outcome": FEW}, label=None) == (["remark"], [])


@pytest.mark.parametrize(
    "columns",
    [
        {"a": LONG, "b": LONG, "label": FEW},
        {"text": LONG, "sentence": LONG, "label": FEW},
        {"text": LONG, "a": FEW, "b": FEW},
        {"text": LONG, "stars": FEW, "topic": FEW},
        {"text": LONG, "id": list(range(8))},
        {"premise": LONG, "hypothesis": LONG, "text": LONG, "label": FEW},
    ],
    ids=lambda columns: " ".join(columns),
)
def test_ambiguous_columns_are_listed(columns: dict[str, list]) -> None:
    with pytest.raises(DataError) as caught:
        chosen(columns)
    message = str(caught.value)
    assert "the columns do not tell" in message
    for name, values in columns.items():
        assert f"  - {name}: " in message
        assert f"{len(set(values))} different values" in message
