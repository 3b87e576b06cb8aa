"""Statistics of generated text by arm."""

from collections.abc import Callable
from typing import Any

import pytest

from kdrun.reporting.tables import generated_text

Make = Callable[..., dict[str, Any]]
STATISTICS: dict[str, float | None] = {
    "rows": 1000.0, "agreement": 0.9, "confidence": 0.85, "evenness": 1.0, "distinct_1": 0.1, "source_distinct_1": 0.2,
    "distinct_2": 0.5, "source_distinct_2": 0.75, "copied_1": 0.25, "copied_2": 0.1, "unchanged": 0.0,
    "words": 20.5, "source_words": 21.0,
}  # fmt: skip


@pytest.fixture
def one(make_comparison: Make) -> dict[str, Any]:
    """A comparison whose first arm has no text, as in older records; whose second has no target class."""
    comparison = make_comparison()
    comparison["arms"][1]["made_text"] = STATISTICS | {"agreement": None}
    third = comparison["arms"][1] | {"name": "kd steps=2", "sd": None, "made_text": STATISTICS}
    comparison["arms"] += [third, comparison["arms"][0] | {"name": "none", "made_text": None}]
    return comparison


def test_one_row_per_arm_with_text(one: dict[str, Any]) -> None:
    sheet = generated_text.make_table([one], [], 1)
    arms = [dict(zip(sheet.columns, row, strict=True)) for row in sheet.rows]
    assert [row["arm"] for row in arms] == ["kd", "kd steps=2"]
    assert [row["mean ± sd"] for row in arms] == ["82.0 ± 1.4", "82.0"]
    assert [row["target class"] for row in arms] == ["n/a", "0.900"]
    assert [arms[1][key] for key in ("rows", "distinct-1 (source)", "copied words")] == [
        "1000",
        "0.100 (0.200)",
        "0.250",
    ]
    assert arms[1]["words per row (source)"] == "20.5 (21.0)"
    assert sheet.notes[0] == generated_text.NOTE
    assert [(line["arm"], line["mean"], line["agreement"], line["copied_2"]) for line in sheet.records] == [
        ("kd", 82.0, "", 0.1), ("kd steps=2", 82.0, 0.9, 0.1),
    ]  # fmt: skip


def test_methods_select_rows(one: dict[str, Any]) -> None:
    assert len(generated_text.make_table([one], ["kd"], 1).rows) == 2
    assert not generated_text.make_table([one], ["finetune"], 1).rows
