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
from kdrun.deployment.chunk import Chunk
from kdrun.errors import DataError, KdrunError
from kdrun.tasks.answers import Answers

ROWS: list[dict[str, Any]] = [{"id": 1, "text": "=1+1"}, {"id": 2, "text": "-5"}]
FIRST = Answers({"prediction": ["@x"]}, {"@x": [0.75], "b": [0.25]})
SECOND = Answers({"prediction": ["b"]}, {"@x": [0.25], "b": [0.75]})
ANSWERS = Answers({"prediction": ["@x", "b"]}, {"@x": [0.75, 0.25], "b": [0.25, 0.75]})


def write(path: Path, *chunks: tuple[list[dict[str, Any]], Answers], **types: pa.DataType) -> None:
    with open_writer(path, output_format(path, "txt"), types) as writer:
        for rows, answers in chunks:
            writer.write(Chunk.of_objects(rows, range(1, len(rows) + 1), "row"), answers)


def test_json_lines_have_probabilities_by_label(tmp_path: Path) -> None:
    odd = {"id": float("nan"), "text": "é", "day": datetime.date(2026, 1, 2)}
    write(tmp_path / "a.jsonl", (ROWS, ANSWERS), ([odd], FIRST))
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert lines[:2] == [row | answer for row, answer in zip(ROWS, ANSWERS.records(), strict=True)]
    assert (lines[2]["id"], lines[2]["text"], lines[2]["day"]) == (None, "é", "2026-01-02")


def test_json_lines_are_those_of_the_json_module(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"text": 'a "q" \\ \n\t\x07 é \u2028 😀', "50 %": 1, "n": None},
        {"text": "%s", "50 %": 1e-7, "n": [1.5, "é", {"x": None}], "more": True},
    ]
    answers = [Answers({"prediction": ["100 %"]}, {"100 %": [1.0], "b": [1e-06]})] * 2
    both = Answers({"prediction": ["100 %"] * 2}, {"100 %": [1.0, 1.0], "b": [1e-06, 1e-06]})
    write(tmp_path / "same.jsonl", (rows[:1], answers[0]), (rows[1:], answers[1]))
    write(tmp_path / "different.jsonl", (rows, both))
    expected = [row | answer for row, answer in zip(rows, both.records(), strict=True)]
    for name in ("same", "different"):
        lines = (tmp_path / f"{name}.jsonl").read_text(encoding="utf-8")
        assert lines == "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in expected)


def test_csv_guards_formulas_in_texts_and_labels(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", (ROWS, ANSWERS))
    with (tmp_path / "a.csv").open(newline="") as file:
        lines = list(csv.reader(file))
    assert lines[0] == ["id", "text", "prediction", "probability_@x", "probability_b"]
    assert lines[1] == ["1", "'=1+1", "'@x", "0.75", "0.25"]
    assert lines[2] == ["2", "-5", "b", "0.25", "0.75"]


def test_label_sets_and_empty_answers_in_tsv(tmp_path: Path) -> None:
    answers = Answers({"prediction": [["a"]]}, {"a": [0.5]}).with_gaps({0}, {})
    write(tmp_path / "a.tsv", ([{"x": "1"}, {"x": "2"}], answers))
    assert (tmp_path / "a.tsv").read_text() == 'x\tprediction\tprobability_a\n1\t\t\n2\t"[""a""]"\t0.5\n'


def test_parquet_keeps_the_types_of_the_input(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write(path, ([{"id": None}], FIRST), ([{"id": 7}], SECOND), id=pa.int16())
    table = pq.read_table(path)
    assert table.schema.field("id").type == pa.int16()
    assert table.column("id").to_pylist() == [None, 7]
    assert table.column("probability_b").to_pylist() == [0.25, 0.75]


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_a_later_key_is_refused_and_no_file_is_left(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"key 'new'.*\.jsonl"):
        write(tmp_path / name, (ROWS, ANSWERS), ([{"id": 1, "new": 2}], FIRST))
    assert not list(tmp_path.iterdir())


def test_another_type_is_refused_in_parquet(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"other types.*\.jsonl"):
        write(tmp_path / "a.parquet", ([{"id": 1}], FIRST), ([{"id": "x"}], FIRST))


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
