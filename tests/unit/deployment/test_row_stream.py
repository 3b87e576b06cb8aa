"""Rows of files in chunks, bad rows, and the choice of columns."""

import io
import itertools
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kdrun.config.task import TaskConfig
from kdrun.deployment import chunk as chunks_of_rows
from kdrun.deployment.file_job import checked_chunks
from kdrun.deployment.row_stream import RowStream, input_format, open_stream
from kdrun.deployment.text_columns import choose_columns, choose_text_columns
from kdrun.errors import DataError, KdrunError
from tests.helpers.tiny_models import MNLI

SST2 = TaskConfig(name="sst2", text=["sentence"], labels=["bad", "good"], metrics=["accuracy"], headline="accuracy")


STACK = ExitStack()


@pytest.fixture(autouse=True)
def closed_files() -> Iterator[None]:
    with STACK:
        yield


def stream_of(path: Path, content: str) -> RowStream:
    path.write_bytes(content.encode())
    return open_stream(path, input_format(path, "txt"), STACK)


def rows_of(stream: RowStream) -> list[tuple[int, dict[str, Any]]]:
    """Number and content of each row."""
    pairs: list[tuple[int, dict[str, Any]]] = []
    for chunk in stream.chunks():
        values = zip(*chunk.columns.values(), strict=True)
        rows = chunk.objects or [dict(zip(chunk.columns, row, strict=True)) for row in values]
        pairs += zip(chunk.numbers, rows, strict=True)
    return pairs


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        ("a.csv", 'id,text\n01,"a, ""b""\nc"\n', [(1, {"id": "01", "text": 'a, "b"\nc'})]),
        ("a.csv", "id,text\nNA,null\n", [(1, {"id": "NA", "text": "null"})]),
        ("a.tsv", 'text\tn\nsay "x\t1\n', [(1, {"text": 'say "x', "n": "1"})]),
        ("a.csv", "\ufefftext\r\ncafé\r\n", [(1, {"text": "café"})]),
        ("a.jsonl", '\n{"text": "a", "n": 1}\n{"text": "b"}\n', [(2, {"text": "a", "n": 1}), (3, {"text": "b"})]),
        ("a.json", '\ufeff[\n{"text": "a, [b]", "n": {"m": [1]}} ,{"n": 2}\n]\n',
         [(1, {"text": "a, [b]", "n": {"m": [1]}}), (2, {"n": 2})]),
        ("a.json", '{"text": "a"}\n{"text": "b"}', [(1, {"text": "a"}), (2, {"text": "b"})]),
        ("a.txt", "\ufeffone\n\n", [(1, {"text": "one"}), (2, {"text": ""})]),
        ("a.txt", "two\u2028three", [(1, {"text": "two\u2028three"})]),
    ],
)  # fmt: skip
def test_rows_of_each_format(tmp_path: Path, name: str, content: str, rows: list[Any]) -> None:
    assert rows_of(stream_of(tmp_path / name, content)) == rows


def test_parquet_keeps_types_and_counts_rows(tmp_path: Path) -> None:
    table = pa.table({"id": pa.array([1, 2], pa.int16()), "text": ["a", "b"]})
    pq.write_table(table, tmp_path / "a.parquet")
    stream = open_stream(tmp_path / "a.parquet", "parquet", STACK)
    assert (stream.num_rows, stream.types["id"]) == (2, pa.int16())
    assert rows_of(stream)[1] == (2, {"id": 2, "text": "b"})


def test_chunks_are_bounded_by_rows_and_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks_of_rows, "CHUNK_ROWS", 3)
    monkeypatch.setattr(chunks_of_rows, "CHUNK_BYTES", 20)
    stream = stream_of(tmp_path / "a.txt", "".join(f"{n}\n" for n in range(4)) + "x" * 30 + "\ny\n")
    chunks = list(stream.chunks())
    assert [chunk.num_rows for chunk in chunks] == [3, 2, 1]
    assert list(itertools.chain(*(chunk.numbers for chunk in chunks))) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "text,n\na,1\nb\n", r"row 2: 1 fields, expected 2"),
        ("a.csv", "text,text\na,b\n", r"more than one column 'text'"),
        ("a.csv", "text\n", r"a\.csv has no rows"),
        ("a.jsonl", '{"text": "a"}\n[1]\n', r"a\.jsonl, line 2: .*must be an object"),
        ("a.jsonl", '{"text": "a"}\n{"text"\n', r"a\.jsonl, line 2: it is not JSON"),
        ("a.jsonl", '{"text": "a"}\n{"text": 7}\n{"text": null}\n', r"2 rows.*line 2: text is no text: 7.*line 3"),
        ("a.json", '[{"text": "a"}, 7]', r"a\.json, row 2: expected an object.*'7'.*jq"),
        ("a.json", '[{"text": "a"} {"text": "b"}]', r"a\.json: expected a comma .* after row 1, got '\{'.*jq"),
        ("a.json", '[{"text": "a"}, {"text": ]', r"a\.json, row 2: it is not JSON \(Expecting value\).*jq"),
        ("a.json", '[{"text": "a"}, ', r"a\.json, row 2: .*got the end of the file"),
        ("a.json", '[{"text": "a"}', r"a\.json: expected a comma .*got the end of the file"),
        ("a.json", '[{"text": "a"}] x', r"a\.json goes on after the end of its array with 'x'"),
        ("a.json", "[]", r"a\.json has no rows"),
        ("a.json", f'[{{"n": {"[" * 9999}]', r"a\.json, row 1: it is nested too deeply"),
        ("a.txt", "a\n  \n", r"a\.txt, line 2: text is blank.*bad_rows=empty"),
    ],
)  # fmt: skip
def test_bad_rows_are_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(DataError, match=f"(?s){message}"):
        list(checked_chunks(stream_of(tmp_path / name, content), ["text"], allow_bad=False))


def test_wrong_encoding_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a\ncaf\xe9\n")
    with pytest.raises(DataError, match=r"byte 0xe9 on line 2"):
        list(open_stream(tmp_path / "a.txt", "txt", STACK).chunks())


def test_allowed_bad_rows_keep_their_place(tmp_path: Path) -> None:
    stream = stream_of(tmp_path / "a.txt", "a\n\nb\n")
    (chunk,) = checked_chunks(stream, ["text"], allow_bad=True)
    assert (chunk.texts, chunk.bad, chunk.rows.num_rows) == ([["a", "b"]], {1}, 3)


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    for file_format, content in (("txt", b"a\n"), ("jsonl", b'{"text": "a"}\n'), ("csv", b"text\na\n")):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        with ExitStack() as stack:
            assert rows_of(open_stream(Path("-"), file_format, stack)) == [(1, {"text": "a"})]


@pytest.mark.parametrize("name", ["a.xlsx", "a"])
def test_other_files_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x")
    with pytest.raises(KdrunError, match=r"\.csv, .*\.txt"):
        input_format(tmp_path / name, "txt")
    with pytest.raises(DataError, match="no such file"):
        input_format(tmp_path / "b.csv", "txt")


@pytest.mark.parametrize(
    ("task", "names", "requested", "chosen"),
    [
        (SST2, ["id", "sentence", "review"], [], ["sentence"]),  # as in the run
        (SST2, ["id", "review"], [], ["review"]),
        (SST2, ["x"], [], ["x"]),
        (SST2, ["id", "review"], ["id"], ["id"]),
        (MNLI, ["Question1", "Question2", "id"], [], ["Question1", "Question2"]),
        (SST2, ["review", "comment"], [], "name the text of f with text=COLUMN; its columns: 'review', 'comment'"),
        (MNLI, ["x", "y", "z"], [], "text=FIRST,SECOND"),
        (MNLI, ["x", "y"], ["x"], "names 1, and the model reads 2"),
        (SST2, ["review"], ["reviews"], "lacks 'reviews'; did you mean 'review'"),
    ],
)
def test_text_columns(task: TaskConfig, names: list[str], requested: list[str], chosen: Any) -> None:
    if isinstance(chosen, list):
        assert choose_text_columns("f", names, requested, len(task.text), task) == chosen
        return
    with pytest.raises(KdrunError) as error:
        choose_text_columns("f", names, requested, len(task.text), task)
    assert chosen in str(error.value)


def test_columns_of_the_output(tmp_path: Path) -> None:
    csv = stream_of(tmp_path / "a.csv", "id,text,prediction\n1,a,b\n")
    assert choose_columns(csv, ["id"], SST2) == ["id"]
    with pytest.raises(KdrunError, match=r"column 'prediction'.*columns=\[id,text\]"):
        choose_columns(csv, ["*"], SST2)
    json_lines = stream_of(tmp_path / "a.jsonl", json.dumps({"text": "a"}))
    assert choose_columns(json_lines, ["*"], SST2) is None
    with pytest.raises(KdrunError, match="lacks 'no'"):
        choose_columns(json_lines, ["no"], SST2)
