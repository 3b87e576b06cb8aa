"""Prediction of files by a model that needs no weights."""

import json
import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kdrun.config.task import TaskConfig
from kdrun.data.tokenization import TokenizedSplit
from kdrun.deployment import chunk
from kdrun.deployment.file_job import FileJob, checked_chunks
from kdrun.deployment.predict import RowPredictor, predict_file
from kdrun.deployment.row_stream import ObjectStream, RowStream, input_format, open_stream
from kdrun.errors import DataError
from kdrun.tasks.answers import Answers
from kdrun.tasks.task_types import task_type_of

TASK = TaskConfig(name="sst2", text=["text"], labels=["short", "long"], metrics=["accuracy"], headline="accuracy")


class LengthPredictor(RowPredictor):
    """Finds texts of more than three characters long."""

    def __init__(self) -> None:
        super().__init__(task_type_of(TASK))

    def tokenize(self, texts: Sequence[Sequence[str]]) -> TokenizedSplit:
        raise AssertionError("answers are computed from the texts")

    def outputs(self, tokens: TokenizedSplit) -> np.ndarray:
        raise AssertionError("answers are computed from the texts")

    def answers(self, texts: Sequence[Sequence[str]]) -> Answers:
        logits = np.array([[3.0, len(text)] for text in texts[0]], np.float32).reshape(-1, 2)
        return self.task_type.answers(logits, texts[0])


def job(stream: RowStream, output: Path, columns: list[str] | None, *, allow_bad: bool = False) -> FileJob:
    return FileJob(stream, checked_chunks(stream, ["text"], allow_bad=allow_bad), columns, output, "jsonl")


def predict(folder: Path, content: str, columns: list[str] | None = None, *, allow_bad: bool = False) -> Any:
    """Counts and records of the prediction of JSON lines."""
    (folder / "in.jsonl").write_text(content)
    with ExitStack() as stack:
        stream = open_stream(folder / "in.jsonl", input_format(folder / "in.jsonl", "txt"), stack)
        counts = predict_file(LengthPredictor(), job(stream, folder / "out.jsonl", columns, allow_bad=allow_bad))
    return counts, [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]


def test_answers_are_in_the_order_of_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk, "CHUNK_ROWS", 3)
    texts = ["a", "abcde", "b", "abcdefg", "c", "abcd", "d"]
    lines = "".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(texts))
    counts, records = predict(tmp_path, lines, ["id"])
    assert counts == (7, 0)
    assert [(record["id"], record["prediction"]) for record in records] == [
        (i, "long" if len(text) > 3 else "short") for i, text in enumerate(texts)
    ]
    assert "text" not in records[0]


def test_rows_without_a_text_have_empty_answers(tmp_path: Path) -> None:
    empty = {"prediction": None, "probabilities": {"short": None, "long": None}}
    counts, records = predict(tmp_path, '{"text": " "}\n{"text": "abcd"}\n{"x": 1}\n', allow_bad=True)
    assert counts == (3, 2)
    assert (records[0], records[2]) == ({"text": " "} | empty, {"x": 1} | empty)
    assert records[1]["prediction"] == "long"
    counts, records = predict(tmp_path, '{"text": " "}\n', allow_bad=True)
    assert (counts, records) == ((1, 1), [{"text": " "} | empty])


@pytest.mark.parametrize(
    "lines", ['{"text": "a", "prediction": 1}\n', '{"text": "a"}\n{"text": "b", "prediction": 1}\n']
)
def test_a_key_of_an_answer_is_refused(tmp_path: Path, lines: str) -> None:
    with pytest.raises(DataError, match=r"in\.jsonl .*key 'prediction'.*columns="):
        predict(tmp_path, lines)
    assert not (tmp_path / "out.jsonl").exists()


class Row(dict[str, Any]):
    """A row that can be counted while it is alive."""


def test_few_rows_are_alive_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk, "CHUNK_ROWS", 10)
    alive: weakref.WeakValueDictionary[int, Row] = weakref.WeakValueDictionary()
    most = 0

    def rows() -> Iterator[tuple[int, dict[str, Any], int]]:
        nonlocal most
        for number in range(1, 201):
            row = Row(text="a" * (number % 6 + 1), **{f"key {number}": number})  # objects with keys of their own
            alive[number] = row
            most = max(most, len(alive))
            yield number, row, 1

    stream = ObjectStream(rows(), "rows", "row")
    assert predict_file(LengthPredictor(), job(stream, tmp_path / "out.jsonl", None)) == (200, 0)
    assert 10 <= most <= 30, "the chunk that is predicted, the next one, and the first row"
