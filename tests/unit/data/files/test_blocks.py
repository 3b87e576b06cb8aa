"""Files in blocks: rows that are longer than a block, types that change between blocks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kdrun.data.files import delimited, json_rows, table_file
from kdrun.data.files.open_file import open_file
from kdrun.errors import DataError

BLOCKS = (256, 1 << 12, 1 << 20)
LONG = "word " * 300


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (table_file, delimited, json_rows):
        monkeypatch.setattr(module, "BLOCKS", BLOCKS)


def read(path: Path) -> pa.Table:
    return pa.Table.from_batches(open_file(path, "data.train").batches())


def rows_with_a_long_one() -> list[dict[str, Any]]:
    return [{"text": LONG if i == 40 else f"text {i}", "label": f"{i % 3}"} for i in range(60)]


def test_a_row_longer_than_a_block_is_read_once(tmp_path: Path) -> None:
    rows = rows_with_a_long_one()
    (tmp_path / "a.csv").write_text("\n".join(["text,label", *(f"{row['text']},{row['label']}" for row in rows)]))
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name in ("a.csv", "a.jsonl"):
        file = open_file(tmp_path / name, "data.train")
        batches = list(file.batches())
        assert len(batches) > 2
        assert pa.Table.from_batches(batches).to_pylist() == rows
        assert (file.unit, file.first) == ("line", 2 if name == "a.csv" else 1)


def test_a_file_with_a_header_alone_has_one_empty_batch(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\n")
    (batch,) = open_file(tmp_path / "a.csv", "data.train").batches(["label"])
    assert (batch.num_rows, batch.schema.names) == (0, ["label"])


def test_numbers_become_floats_and_nulls_get_a_type_below_the_first_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_rows, "HEAD", 100)
    path = tmp_path / "a.jsonl"
    rows: list[dict[str, Any]] = [{"text": f"text {i}", "score": i, "note": None} for i in range(50)]
    rows += [{"text": "2026-01-01", "score": 2.5, "note": "late"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = read(path)
    assert table.schema.field("score").type == pa.float64()
    assert table.schema.field("note").type == pa.string()
    assert table.to_pylist() == rows
    assert next(open_file(path, "data.train").batches(["score"])).schema.names == ["score"]


def test_another_type_below_the_first_rows_is_refused_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_rows, "HEAD", 100)
    path = tmp_path / "a.jsonl"
    lines = [json.dumps({"text": f"text {i}", "label": "x"}) for i in range(50)]
    path.write_text("\n".join([*lines, json.dumps({"text": "a text", "label": ["x"]})]))
    with pytest.raises(DataError, match=r"(?s)a\.jsonl.*line 51: label is a list"):
        read(path)
