"""Texts of files for a teacher to label."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kdrun.config.task import TaskConfig
from kdrun.data.splits import Split
from kdrun.deployment import chunk, text_input
from kdrun.errors import KdrunError
from tests.helpers.tiny_models import MNLI

SST2 = TaskConfig(name="sst2", text=["sentence"], labels=["bad", "good"], metrics=["accuracy"], headline="accuracy")


def chunks_of(path: Path, content: str, task: TaskConfig = SST2, text: Sequence[str] = ()) -> list[Split]:
    path.write_bytes(content.encode())
    return list(text_input.read_chunks(path, text, task))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "\ufeffa good film \r\n\n\na bad one"),
        ("a.csv", "id,sentence\n1,a good film\n2,a bad one\n"),
        ("a.tsv", "review\na good film\na bad one\n"),
        ("a.jsonl", '{"text": "a good film", "sentence": "x"}\n{"text": "a bad one"}\n'),
        ("a.json", '[{"text": "a good film"}, {"text": "a bad one"}]'),
    ],
)
def test_texts_of_each_format(tmp_path: Path, name: str, content: str) -> None:
    (rows,) = chunks_of(tmp_path / name, content)
    assert rows.table.column("text").to_pylist() == ["a good film", "a bad one"]
    assert rows.origin == str(tmp_path / name)


def test_pairs_of_parquet_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk, "CHUNK_ROWS", 2)
    pq.write_table(pa.table({"text": ["a", "b", "c"], "text_pair": ["d", "e", "f"]}), tmp_path / "a.parquet")
    first, second = text_input.read_chunks(tmp_path / "a.parquet", (), MNLI)
    assert (first.num_rows, second.row(0)) == (2, {"text": "c", "text_pair": "f"})


@pytest.mark.parametrize(
    ("name", "content", "task", "text", "message"),
    [
        ("a.csv", "review,comment\na,b\n", SST2, (), r"a\.csv with text=COLUMN; its columns: 'review', 'comment'"),
        ("a.csv", "review,comment\na,b\n", SST2, ("comments",), r"lacks 'comments'; did you mean 'comment'"),
        ("a.csv", "id,text\n1,\n2,x\n", SST2, (), r"(?s)a\.csv, row 1: text is blank.*remove the rows"),
        ("a.txt", "\n \n", SST2, (), r"input=.*a\.txt has blank lines only"),
        ("a.txt", "a\n", MNLI, (), r"task=mnli has two texts per row"),
        ("a.doc", "a\n", SST2, (), r"input=.*a\.doc.*\.csv, .*\.txt"),
    ],
)  # fmt: skip
def test_wrong_files(
    tmp_path: Path, name: str, content: str, task: TaskConfig, text: Sequence[str], message: str
) -> None:
    with pytest.raises(KdrunError, match=message):
        chunks_of(tmp_path / name, content, task, text)
