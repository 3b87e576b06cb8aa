"""Files of a teacher's answers: read, checked, refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from kdrun.config.task import TaskConfig, TaskKind
from kdrun.data.recorded.outputs import probabilities_of
from kdrun.data.recorded.table import METADATA, RecordedTable, dump_header, read_table
from kdrun.errors import DataError

SST2 = TaskConfig(name="sst2", text=["sentence"], labels=["negative", "positive"])
TOPICS = TaskConfig(name="own", text=["text"], labels=["a", "b", "c", "d"])
LABEL_SETS = TaskConfig(name="own", text=["text"], labels=["a", "b"], kind=TaskKind.multi_label)
STSB = TaskConfig(name="stsb", text=["a", "b"], range=[0, 5])


def write(folder: Path, *rows: Any, name: str = "answers.jsonl") -> Path:
    path = folder / name
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def probabilities(table: RecordedTable, task: TaskConfig) -> list[list[float]]:
    return np.round(probabilities_of(table.logits, task), 4).tolist()


def test_rows_by_text_and_by_id_with_names_in_any_order(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {"text": " good ", "probabilities": {"pos": 0.9, "neg": 0.1}, "comment": "ignored"},
        {"id": 7, "split": "validation", "probabilities": [0.25, 0.75]},
        {"text": "bad", "teacher": {"negative": 0.8, "positive": 0.2}, "wanted": None},
    )
    table = read_table(path, SST2)
    assert probabilities(table, SST2) == [[0.1, 0.9], [0.25, 0.75], [0.8, 0.2]]
    assert table.ids.tolist() == [-1, 7, -1]
    assert [table.split_names[code] for code in table.split_codes] == ["", "dev", ""]
    assert [bool(key) for key in table.keys] == [True, False, True]
    assert not table.exact
    notes = " ".join(table.notes)
    assert "pos is positive" in notes
    assert "negative, positive" in notes  # the order of the list


def test_logits_are_kept_exactly_and_win_over_probabilities(tmp_path: Path) -> None:
    value = float(np.float32(1 / 3))
    rows = [{"text": "x", "probabilities": {"negative": 0.5, "positive": 0.5}, "logits": [value, -2.0]}]
    table = read_table(write(tmp_path, dump_header({"classes": ["positive", "negative"]}), *rows), SST2)
    assert table.logits.tolist() == [[-2.0, value]]
    assert table.exact


def test_top_k_rows_are_completed_and_reported(tmp_path: Path) -> None:
    path = write(tmp_path, {"text": "x", "probabilities": {"a": 0.7, "c": 0.1}}, {"text": "y", "logits": [0, 0, 0, 0]})
    table = read_table(path, TOPICS)
    assert probabilities(table, TOPICS)[0] == [0.7, 0.1, 0.1, 0.1]
    assert any("1 of 2 rows name some of the 4 classes" in note and "20.0 %" in note for note in table.notes)


def test_label_sets_need_every_class_and_no_sum(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, {"text": "x", "probabilities": {"a": 0.9, "b": 0.8}}), LABEL_SETS)
    assert probabilities(table, LABEL_SETS) == [[0.9, 0.8]]
    with pytest.raises(DataError, match=r"line 1.*lack 1 of 2 classes"):
        read_table(write(tmp_path, {"text": "x", "probabilities": {"a": 0.9}}), LABEL_SETS)


def test_scores_of_pairs(tmp_path: Path) -> None:
    path = write(tmp_path, {"text": "x", "text_pair": "y", "score": 4.5}, {"id": 3, "logits": [5.25]})
    assert read_table(path, STSB).logits.tolist() == [[4.5], [5.25]]


def test_parquet_rows_of_each_column_type(tmp_path: Path) -> None:
    shares = pa.array([{"negative": 0.25, "positive": 0.75}, {"negative": 0.5, "positive": 0.5}])
    maps = pa.array([[("negative", 0.25), ("positive", 0.75)], [("negative", 0.5), ("positive", 0.5)]],
                    pa.map_(pa.string(), pa.float32()))  # fmt: skip
    lists = pa.array([[0.75, 0.25], [0.5, 0.5]], pa.list_(pa.float32()))
    header = dump_header({"classes": ["positive", "negative"], "teacher": "llm"})
    for number, column in enumerate((shares, maps, lists)):
        data = pa.table({"text": ["a", "b"], "probabilities": column, "other": [1, 2]})
        path = tmp_path / f"{number}.parquet"
        parquet.write_table(data.replace_schema_metadata({METADATA: header.encode()}), path)
        table = read_table(path, SST2)
        assert probabilities(table, SST2) == [[0.25, 0.75], [0.5, 0.5]]
        assert table.header["teacher"] == "llm"


BAD_ROWS = {
    "sum above 1": ({"text": "x", "probabilities": {"negative": 0.5, "positive": 0.6}}, r"sum to 1\.1 "),
    "sum below 1": ({"text": "x", "probabilities": [0.2, 0.3]}, r"sum to 0\.5 "),
    "negative": ({"text": "x", "probabilities": [-0.1, 1.1]}, r"'negative'.*0 to 1.*-0\.1"),
    "not a number": ({"text": "x", "probabilities": ["0.5", 0.5]}, r"finite number.*'0\.5'"),
    "NaN": ('{"text": "x", "probabilities": [NaN, 0.5]}', r"finite number.*nan"),
    "infinite logit": ('{"text": "x", "logits": [-Infinity, 0.5]}', r"finite number.*-inf"),
    "huge integer": ({"text": "x", "logits": [10**400, 0]}, r"finite number"),
    "unknown class": ({"text": "x", "probabilities": {"negativ": 1.0}}, r"'negativ'.*'negative'.*teacher\.labels"),
    "class twice": ({"text": "x", "probabilities": {"negative": 0.5, "neg": 0.5}}, r"'negative' twice"),
    "too many values": ({"text": "x", "probabilities": [0.1, 0.2, 0.7]}, r"3 values for 2 classes"),
    "partial logits": ({"text": "x", "logits": {"negative": 1.0}}, r"logits lack 1 of 2"),
    "empty": ({"text": "x", "probabilities": {}}, r"probabilities is empty"),
    "misspelled key": ({"text": "x", "probabilites": [0.5, 0.5]}, r"'probabilities'"),
    "label only": ({"text": "x", "label": "negative"}, r"no probabilities or logits.*text, label"),
    "score": ({"text": "x", "score": 0.5}, r"score.*sst2 has classes"),
    "no text and no id": ({"probabilities": [0.5, 0.5]}, r"neither text nor an id"),
    "negative id": ({"id": -1, "probabilities": [0.5, 0.5]}, r"id.*-1"),
    "fraction as id": ({"id": 0.5, "probabilities": [0.5, 0.5]}, r"id.*0\.5"),
    "boolean id": ({"id": True, "probabilities": [0.5, 0.5]}, r"id.*True"),
    "pair": ({"text": "x", "text_pair": "y", "probabilities": [0.5, 0.5]}, r"text and text_pair.*one text"),
    "number as text": ({"text": 3, "probabilities": [0.5, 0.5]}, r"text must be text.*3"),
    "split": ({"text": "x", "split": 3, "probabilities": [0.5, 0.5]}, r"split.*3"),
    "no object": ("[1, 2]", r"no object"),
    "no JSON": ("text", r"not JSON"),
    "half a character": ('{"text": "\\ud800", "probabilities": [0.5, 0.5]}', r"half of a character"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_is_named_with_its_line(name: str, tmp_path: Path) -> None:
    row, message = BAD_ROWS[name]
    good = {"text": "fine", "probabilities": [0.5, 0.5]}
    with pytest.raises(DataError, match=rf"(?s)answers\.jsonl has 1 problem:\s+- line 2: .*{message}"):
        read_table(write(tmp_path, good, row, good), SST2)


@pytest.mark.parametrize("row", [{"text": "x", "score": 3}, {"text": "x", "text_pair": "y", "score": 30}])
def test_bad_scores_are_named(row: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 1: .*(two texts|30)"):
        read_table(write(tmp_path, row), STSB)


def test_files_that_are_no_recorded_teacher(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"answers\.csv.*\.jsonl and \.parquet"):
        read_table(write(tmp_path, "x", name="answers.csv"), SST2)
    with pytest.raises(DataError, match=r"not a Parquet file"):
        read_table(write(tmp_path, "x", name="answers.parquet"), SST2)
    with pytest.raises(DataError, match=r"has no rows"):
        read_table(write(tmp_path), SST2)
    with pytest.raises(DataError, match=r"line 1.*'kdrun-teacher-9'"):
        read_table(write(tmp_path, {"format": "kdrun-teacher-9"}), SST2)
    parquet.write_table(pa.table({"prompt": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(DataError, match=r"the columns prompt"):
        read_table(tmp_path / "other.parquet", SST2)


def test_a_truncated_line_is_recognized(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text('{"text": "x", "probabilities": [0.5, 0.5]}\n{"text": "y", "prob')
    with pytest.raises(DataError, match=r"line 2.*interrupted"):
        read_table(path, SST2)
