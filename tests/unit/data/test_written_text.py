"""Requests for written text, its folder, and its rows as another run reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kdrun.cli.commands.write import WriteOptions
from kdrun.config.task import TaskConfig
from kdrun.data import written_text
from kdrun.data.sources.generated_text import check_same_origin, read_generated, read_unlabeled
from kdrun.data.written_text import WrittenRow
from kdrun.errors import ConfigError, DataError

SST2 = TaskConfig(name="sst2", text=["sentence"], labels=["negative", "positive"], metrics=["accuracy"])
RTE = TaskConfig(name="rte", text=["a", "b"], labels=["yes", "no"], metrics=["accuracy"])
STSB = TaskConfig(name="stsb", text=["a", "b"], range=[0, 5], metrics=["pearson"])
FACTS: dict[str, Any] = {
    "generator": "gpt2-xl",
    "seed": 1,
    "license": "CC0-1.0",
    "prompts": {"negative": 'A bad `review`: "', "positive": 'A good review: "'},
    "provenance": {"command": "kdrun write"},
}


def problems(task: TaskConfig = SST2, **options: Any) -> str:
    found = written_text.request_problems({**vars(WriteOptions(output="x")), **options}, task)
    return "\n".join(str(problem) for problem in found)


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        (SST2, {"model": "m", "prompt": "a {label} review"}, ""),
        (RTE, {"input": "rows.csv"}, ""),
        (SST2, {"input": "rows.csv", "prompt": "as they were asked", "source": "m"}, ""),
        (SST2, {}, "model=FOLDER_OR_NAME"),
        (SST2, {"model": "m", "input": "rows.csv"}, "one of the two"),
        (SST2, {"model": "m"}, "prompts=FILE.json"),
        (SST2, {"model": "m", "prompt": "a review"}, "prompt='a review' must have {label} once"),
        (SST2, {"model": "m", "prompt": "{label}", "prompts": "p.json"}, "remove one"),
        (SST2, {"model": "m", "prompt": "{label}", "source": "s"}, "source=s belongs to input=FILE"),
        (SST2, {"input": "rows.csv", "revision": "v1"}, "revision=v1 has no effect"),
        (RTE, {"model": "m", "prompt": "{label}"}, "task=rte has two texts per row"),
        (STSB, {"input": "rows.csv"}, "task=stsb has no classes"),
    ],
)
def test_a_request_that_cannot_be_served_names_its_reason(
    task: TaskConfig, options: dict[str, Any], message: str
) -> None:
    assert message in problems(task, **options)
    assert bool(problems(task, **options)) == bool(message)


def test_prompts_of_a_template_and_of_a_file(tmp_path: Path) -> None:
    expected = {"negative": "a negative one", "positive": "a positive one"}
    assert written_text.prompts_of("a {label} one", None, SST2) == expected
    file = tmp_path / "prompts.json"
    file.write_text(json.dumps(dict(reversed(expected.items()))))
    assert list((written_text.prompts_of(None, str(file), SST2) or {}).items()) == list(expected.items())
    file.write_text(json.dumps({"negativ": "x", "positive": "y"}))
    with pytest.raises(ConfigError, match=r"has 'negativ'.*'negative'.*lacks 'negative'"):
        written_text.prompts_of(None, str(file), SST2)
    file.write_text("[1]")
    with pytest.raises(ConfigError, match=r"must be an object"):
        written_text.prompts_of(None, str(file), SST2)


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    rows = [WrittenRow(("dull “film”",), "negative"), WrittenRow(("=a moving film",), "positive")]
    card = written_text.save_rows(tmp_path / "out", iter(rows), FACTS, SST2)
    assert card["rows_by_class"] == {"negative": 1, "positive": 1}
    split = read_generated(str(tmp_path / "out"), SST2)
    assert split.table.column("text").to_pylist() == ["dull “film”", "=a moving film"]
    assert split.labels().tolist() == [0, 1]
    assert "written by gpt2-xl" in split.notes[0]
    assert read_unlabeled(str(tmp_path / "out"), SST2, None, 1).table.column_names == ["text"]
    for synthetic in (True, False):  # the origin of a language model's text is neither
        check_same_origin(split, synthetic, "")
    readme = (tmp_path / "out" / "README.md").read_text()
    assert "License: CC0-1.0" in readme
    assert "- negative: `A bad 'review': \"`" in readme
    with pytest.raises(DataError, match=r"task=sst2"):
        read_generated(str(tmp_path / "out"), RTE)


def test_nothing_is_left_of_a_folder_without_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no row to write"):
        written_text.save_rows(tmp_path / "out", [], FACTS, SST2)
    assert not list(tmp_path.iterdir())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    assert "not empty" in str(written_text.check_output(tmp_path / "full")[0])
    assert "create it first" in str(written_text.check_output(tmp_path / "a" / "b")[0])
    assert not written_text.check_output(tmp_path / "new")


def test_a_row_needs_a_teacher_or_a_class(tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl"
    file.write_text(
        '{"text": "a", "wanted": "positive"}\n{"text": "b", "wanted": null}\n{"text": "c", "wanted": "x"}\n'
    )
    with pytest.raises(DataError, match=r"(?s)2.*lacks teacher.*3.*'x', which is not a class"):
        read_generated(str(file), SST2)
