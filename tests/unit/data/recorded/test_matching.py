"""Recorded rows and the rows of a split."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from kdrun.config.task import TaskConfig
from kdrun.data.recorded.matching import Matcher, missing_rows
from kdrun.data.recorded.table import read_table
from kdrun.data.splits import Split, make_split
from kdrun.errors import DataError

SST2 = TaskConfig(name="sst2", text=["sentence"], labels=["negative", "positive"])


def matcher(folder: Path, *rows: dict[str, Any]) -> Matcher:
    path = folder / "answers.jsonl"
    path.write_text("".join(json.dumps({"probabilities": [0.5, 0.5], **row}) + "\n" for row in rows))
    return Matcher(read_table(path, SST2), SST2)


def split(*texts: str, name: str = "train") -> Split:
    return make_split(name, [pa.array(texts)], pa.array([0] * len(texts)), f"SST-2/{name}.tsv")


def find(of: Matcher, rows: Split, *, is_student: bool = True) -> list[int]:
    return of.rows_of(rows, is_student=is_student).tolist()


def test_texts_are_found_in_any_order_and_missing_ones_are_named(tmp_path: Path) -> None:
    rows, train = matcher(tmp_path, {"text": "c"}, {"text": " a"}), split("a", "b", "c", "a")
    assert find(rows, train) == [1, -1, 0, 1]
    message = missing_rows(train, rows.rows_of(train, is_student=True), "answers.jsonl")
    assert "1 of 4 rows of train (SST-2/train.tsv): row 1 ('b')" in message
    assert "letter for letter" not in message


def test_no_text_in_common_is_said(tmp_path: Path) -> None:
    train = split("A")
    found = matcher(tmp_path, {"text": "a"}).rows_of(train, is_student=True)
    assert "letter for letter" in missing_rows(train, found, "answers.jsonl")


def test_ids_count_in_the_whole_split_also_for_a_subset(tmp_path: Path) -> None:
    rows, train = matcher(tmp_path, *({"id": i} for i in range(4))), split("a", "b", "c", "d")
    assert find(rows, train) == [0, 1, 2, 3]
    subset = train.select(np.array([1, 3])).select(np.array([1]))
    assert find(rows, subset) == [3]


def test_ids_of_another_split_and_of_the_student(tmp_path: Path) -> None:
    rows = matcher(tmp_path, {"id": 0, "split": "dev"}, {"id": 0}, {"id": 1, "split": "train"})
    assert find(rows, split("a", "b")) == [1, 2]
    assert find(rows, split("a", name="dev"), is_student=False) == [0]
    assert find(rows, split("a", name="test"), is_student=False) == [-1]


def test_among_equal_texts_the_number_decides(tmp_path: Path) -> None:
    rows = [{"text": "a", "id": 0}, {"text": "b", "id": 1}, {"text": "a", "id": 2}]
    assert find(matcher(tmp_path, *rows), split("a", "b", "a")) == [0, 1, 2]
    assert find(matcher(tmp_path, *rows), split("b", "a", "a")) == [1, 0, 2]  # numbers of other rows are not used


def test_an_id_beyond_the_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 2: id is 2.*rows 0 … 1.*1 row in all"):
        find(matcher(tmp_path, {"id": 0}, {"id": 2}), split("a", "b"))


def test_different_answers_to_one_text_are_refused(tmp_path: Path) -> None:
    same = {"text": "a", "probabilities": [0.5004, 0.4996]}
    matcher(tmp_path, {"text": "a"}, same, {"id": 1}, {"id": 1}).check()
    other = {"probabilities": [0.1, 0.9]}
    rows = matcher(tmp_path, {"text": "a"}, {"id": 1}, {"text": "a", **other}, {"id": 1, **other})
    with pytest.raises(DataError, match=r"(?s)2 conflicts.*rows 1 and 3 have one text.*rows 2 and 4 have one id"):
        rows.check()
