"""Files of predicted rows."""

import csv
import datetime
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kdrun.deployment.answer_writer import open_writer, output_format
from kdrun.errors import DataError, KdrunError

ROWS: list[dict[str, Any]] = [{"id": 1, "text": "=1+1"}, {"id": 2, "text": "-5"}]
ANSWERS: list[dict[str, Any]] = [
    {"prediction": "@x", "probabilities": {"@x": 0.75, "b": 0.25}},
    {"prediction": "b", "probabilities": {"@x": 0.25, "b": 0.75}},
]


def write(path: Path, *chunks: tuple[list[dict[str, Any]], list[dict[str, Any]]], **types: pa.DataType) -> None:
    with open_writer(path, output_format(path, "txt"), types) as writer:
        for rows, answers in chunks:
            writer.write(rows, answers)


def test_json_lines_have_probabilities_by_label(tmp_path: Path) -> None:
    odd = {"id": float("nan"), "text": "é", "day": datetime.date(2026, 1, 2)}
    write(tmp_path / "a.jsonl", (ROWS, ANSWERS), ([odd], ANSWERS[:1]))
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert lines[:2] == [row | answer for row, answer in zip(ROWS, ANSWERS, strict=True)]
    assert (lines[2]["id"], lines[2]["text"], lines[2]["day"]) == (None, "é", "2026-01-02")


def test_csv_guards_formulas_in_texts_and_labels(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", (ROWS, ANSWERS))
    with (tmp_path / "a.csv").open(newline="") as file:
        lines = list(csv.reader(file))
    assert lines[0] == ["id", "text", "prediction", "probability_@x", "probability_b"]
    assert lines[1] == ["1", "'=1+1", "'@x", "0.75", "0.25"]
    assert lines[2] == ["2", "-5", "b", "0.25", "0.75"]


def test_label_sets_and_empty_answers_in_tsv(tmp_path: Path) -> None:
    empty = {"prediction": None, "probabilities": {"a": None}}
    several = {"prediction": ["a"], "probabilities": {"a": 0.5}}
    write(tmp_path / "a.tsv", ([{"x": "1"}, {"x": "2"}], [empty, several]))
    assert (tmp_path / "a.tsv").read_text() == 'x\tprediction\tprobability_a\n1\t\t\n2\t"[""a""]"\t0.5\n'


def test_parquet_keeps_the_types_of_the_input(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write(path, ([{"id": None}], ANSWERS[:1]), ([{"id": 7}], ANSWERS[1:]), id=pa.int16())
    table = pq.read_table(path)
    assert table.schema.field("id").type == pa.int16()
    assert table.column("id").to_pylist() == [None, 7]
    assert table.column("probability_b").to_pylist() == [0.25, 0.75]


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_a_later_key_is_refused_and_no_file_is_left(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"key 'new'.*\.jsonl"):
        write(tmp_path / name, (ROWS, ANSWERS), ([{"id": 1, "new": 2}], ANSWERS[:1]))
    assert not list(tmp_path.iterdir())


def test_another_type_is_refused_in_parquet(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"other types.*\.jsonl"):
        write(tmp_path / "a.parquet", ([{"id": 1}], ANSWERS[:1]), ([{"id": "x"}], ANSWERS[:1]))


def test_a_link_in_the_place_of_the_output_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("untouched")
    (tmp_path / "a.jsonl").symlink_to(tmp_path / "secret")
    write(tmp_path / "a.jsonl", (ROWS, ANSWERS))
    assert (tmp_path / "secret").read_text() == "untouched"
    assert not (tmp_path / "a.jsonl").is_symlink()


def test_formats_of_outputs(tmp_path: Path) -> None:
    assert output_format(Path("-"), "txt") == "jsonl"
    assert output_format(Path("-"), "csv") == "csv"
    for name, message in (
        ("a.xlsx", r"\.jsonl, .*\.parquet"),
        ("none/a.csv", "does not exist"),
        ("d.csv", "is a folder"),
    ):
        (tmp_path / "d.csv").mkdir(exist_ok=True)
        with pytest.raises(KdrunError, match=message):
            output_format(tmp_path / name, "txt")
