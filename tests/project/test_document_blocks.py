"""Generated blocks of a document."""

from pathlib import Path

import pytest

from benchmarks.blocks import block, put, replaced, table

COLUMNS, ROWS = ["case", "baseline", "ratio"], [["a", "x", "2x"], ["b", "", "3x"]]


def test_a_block_is_replaced_and_read_and_the_rest_stays(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text("before\n<!-- one -->\nold\n<!-- /one -->\nafter\n")
    put(document, "one", table(COLUMNS, ROWS))
    assert block(document, "one") == table(COLUMNS, ROWS)
    text = document.read_text()
    assert text.startswith("before\n<!-- one -->\n\n| case")
    assert text.endswith("|\n\n<!-- /one -->\nafter\n")
    with pytest.raises(SystemExit, match="has no block <!-- two -->"):
        put(document, "two", "text")


def test_rows_of_a_table_are_replaced_by_their_first_two_cells() -> None:
    rows = replaced(f"a title\n\n{table(COLUMNS, ROWS)}", [["b", "", "4x"], ["a", "y", "5x"]])
    assert rows == [["a", "x", "2x"], ["b", "", "4x"], ["a", "y", "5x"]]
