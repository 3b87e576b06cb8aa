"""The GLUE folder layout: parsing, headers, problems by line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kdrun.config.task import TaskConfig
from kdrun.data.sources import glue_folder
from kdrun.data.splits import Split
from kdrun.errors import DataError
from tests.helpers.paths import ROOT, SHARED

SINGLE = TaskConfig(
    name="toy",
    text=["sentence"],
    labels=["negative", "positive"],
    rows={"train": 4, "dev": 1},
    folder={
        "dir": "TOY",
        "text": ["sentence"],
        "label": "label",
        "files": {"train": "train.tsv", "dev": "dev.tsv"},
    },
)
GOOD = "sentence\tlabel\nfine\t1\n"


def read_task(root: str, task: TaskConfig) -> dict[str, Split]:
    return glue_folder.read_task(root, task, ["train", *task.dev_splits])


def task(labels: list[str] | None = None, score: list[float] | None = None, **folder: Any) -> TaskConfig:
    return TaskConfig(
        name="toy",
        labels=[] if score else (labels or SINGLE.labels),
        range=score or [],
        rows=SINGLE.rows,
        folder=SINGLE.folder | folder,
    )


PAIR = task(text=["s1", "s2"])
SCORE = task(score=[0, 5])


def write(root: Path, train: str | bytes, dev: str = GOOD, name: str = "train.tsv") -> str:
    folder = root / "TOY"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(train if isinstance(train, bytes) else train.encode())
    (folder / "dev.tsv").write_text(dev)
    return str(root)


def rows(root: Path, train: str | bytes, of: TaskConfig = SINGLE, dev: str = GOOD) -> list[dict[str, Any]]:
    return read_task(write(root, train, dev), of)["train"].table.to_pylist()


def test_quotes_have_no_meaning(tmp_path: Path):
    table = rows(tmp_path, 'sentence\tlabel\n"a\t0\nb " c\t1\n""d"\t0\n')
    assert [row["text"] for row in table] == ['"a', 'b " c', '""d"']


@pytest.mark.parametrize("mark", ["\u2028", "\x85", "\x0b", "\x0c", "\x1c", "\r"])
def test_only_a_line_feed_ends_a_line(tmp_path: Path, mark: str):
    table = rows(tmp_path, f"sentence\tlabel\na{mark}b\t0\nc\t1\n")
    assert [row["text"] for row in table] == [f"a{mark}b", "c"]


@pytest.mark.parametrize(
    "text",
    [
        "sentence\tlabel\na\t0\nb \t1\n",
        "sentence\tlabel\na\t0\nb\t1",
        "sentence\tlabel\r\na\t0\r\nb\t1\r\n",
        "\ufeffsentence\tlabel\na\t0\nb\t1\n\n\n",
        "label\textra\tsentence\n0\tx\ta\n1\t\t b\n",
        "sentence\tlabel\na\tNegative\nb\tPOSITIVE\n",
        "sentence\tlabel\na\t 0\nb\tpositive \n",
    ],
    ids=["trailing blank", "no end", "crlf", "byte order mark", "other columns", "names", "padded"],
)
def test_equivalent_files_give_the_same_rows(tmp_path: Path, text: str):
    assert rows(tmp_path, text) == [{"text": "a", "label": 0}, {"text": "b", "label": 1}]


def test_words_that_look_missing_are_text(tmp_path: Path):
    table = rows(tmp_path, "s1\ts2\tlabel\nNone\tNA\t0\nnan\tnull\t1\n", PAIR, "s1\ts2\tlabel\na\tb\t0\n")
    assert [(row["text"], row["text_pair"]) for row in table] == [("None", "NA"), ("nan", "null")]


def test_an_empty_text_of_a_pair_stays_empty_and_is_noted(tmp_path: Path):
    root = write(tmp_path, "s1\ts2\tlabel\na\t\t0\n \tb\t1\nc\td\t1\n", "s1\ts2\tlabel\na\tb\t0\n")
    split = read_task(root, PAIR)["train"]
    assert split.row(0) == {"text": "a", "text_pair": "", "label": 0}
    assert split.row(1) == {"text": "", "text_pair": "b", "label": 1}
    assert split.notes == ("2 pairs of TOY/train.tsv have an empty text",)


def test_files_without_a_header(tmp_path: Path):
    of = task(columns=["source", "label", "mark", "sentence"])
    table = rows(tmp_path, "gj\t1\t\tA b.\ngj\t0\t*\tC d.\n", of, "gj\t1\t\tE.\n")
    assert table == [{"text": "A b.", "label": 1}, {"text": "C d.", "label": 0}]


@pytest.mark.parametrize("text", ["0", "5.000", "3.2", "+1", ".5", "2.", "1e0"])
def test_scores_are_decimal_numbers_in_range(tmp_path: Path, text: str):
    table = rows(tmp_path, f"sentence\tlabel\na\t{text}\n", SCORE)
    assert table[0]["label"] == pytest.approx(float(text))


HEAD = "sentence\tlabel\n"
BAD: dict[str, tuple[TaskConfig, str | bytes, str]] = {
    "column": (SINGLE, "sentense\tlabel\na\t0\n", r"lacks the column 'sentence'; did you mean 'sentense'\?"),
    "columns found": (SINGLE, "x\tlabel\na\t0\n", r"TOY/train.tsv lacks .*Columns found: 'x', 'label'; expected"),
    "no header": (SINGLE, "a\t0\nb\t1\n", r"header of TOY/train.tsv lacks the column 'sentence'"),
    "column twice": (SINGLE, "sentence\tlabel\tlabel\na\t0\t0\n", "more than one column 'label'"),
    "too few cells": (SINGLE, HEAD + "a\t0\nb\n", "line 3: 1 columns, expected 2"),
    "too many cells": (SINGLE, HEAD + "a\tb\t0\n", "line 2: 3 columns, expected 2"),
    "blank line": (SINGLE, HEAD + "a\t0\n\nb\t1\n", "line 3: 1 columns, expected 2"),
    "class name": (SINGLE, HEAD + "a\tgood\n", "line 2: the label is 'good'; expected negative or 0, positive or 1"),
    "class index": (SINGLE, HEAD + "a\t0\nb\t2\n", "line 3: the label is '2'; expected negative or 0"),
    "hidden label": (SINGLE, HEAD + "a\t-1\n", "the label is '-1'"),
    "empty label": (SINGLE, HEAD + "a\t\n", "the label is ''"),
    "score word": (SCORE, HEAD + "a\thigh\n", "line 2: the score is 'high'; expected a number from 0 to 5"),
    "score nan": (SCORE, HEAD + "a\tnan\n", "the score is 'nan'; expected a number from 0 to 5"),
    "score inf": (SCORE, HEAD + "a\tinf\n", "the score is 'inf'"),
    "score comma": (SCORE, HEAD + "a\t3,5\n", "the score is '3,5'"),
    "score high": (SCORE, HEAD + "a\t5.01\n", "the score is '5.01'; expected a number from 0 to 5"),
    "score low": (SCORE, HEAD + "a\t-0.1\n", "the score is '-0.1'"),
    "score huge": (SCORE, HEAD + "a\t1e999\n", "the score is '1e999'"),
    "empty text": (SINGLE, HEAD + "a\t0\n \t1\n", "line 3: the text is empty"),
    "empty pair": (PAIR, "s1\ts2\tlabel\n\t \t1\n", "line 2: the text is empty"),
    "utf8": (SINGLE, HEAD.encode() + b"a\t0\ncaf\xe9\t1\n", "not UTF-8: byte 0xe9 at offset 22, line 3"),
    "header only": (SINGLE, HEAD, "TOY/train.tsv has no rows; expected 4 for train"),
    "no bytes": (SINGLE, b"", "header of TOY/train.tsv lacks the column 'sentence'.*found: nothing"),
}


@pytest.mark.parametrize(("of", "text", "message"), BAD.values(), ids=BAD.keys())
def test_bad_files_are_refused_with_the_line(tmp_path: Path, of: TaskConfig, text: str | bytes, message: str):
    with pytest.raises(DataError, match=message):
        read_task(write(tmp_path, text), of)


def test_offset_of_a_bad_byte_counts_the_byte_order_mark(tmp_path: Path):
    with pytest.raises(DataError, match="byte 0xe9 at offset 18, line 2"):
        rows(tmp_path, b"\xef\xbb\xbf" + HEAD.encode() + b"\xe9\t1\n")


def test_five_problems_are_shown_in_order_and_all_counted(tmp_path: Path):
    lines = [" \t0\n" if i == 3 else f"a\t{i}\n" for i in range(9)]
    with pytest.raises(DataError) as caught:
        rows(tmp_path, HEAD + "".join(lines))
    text = str(caught.value)
    assert text.startswith("TOY/train.tsv has 7 problems:\n")
    first_lines = [line.strip()[2:].split(":")[0] for line in text.splitlines()[1:6]]
    assert first_lines == ["line 4", "line 5", "line 6", "line 7", "line 8"]
    assert "line 5: the text is empty" in text
    assert "… and 2 more" in text
    assert len(text.splitlines()) == 8


def test_broken_lines_are_skipped_and_counted_only_if_the_task_allows_it(tmp_path: Path):
    of = task(broken_lines="skip")
    root = write(tmp_path, HEAD + "a\t0\nb\nc\t\t1\nd\t1\n")
    split = read_task(root, of)["train"]
    assert [row["text"] for row in split.table.to_pylist()] == ["a", "d"]
    assert split.notes == ("TOY/train.tsv: 2 lines without 2 columns were skipped, first line 3",)
    with pytest.raises(DataError, match="line 5: the label is 'x'"):
        read_task(write(tmp_path, HEAD + "a\t0\nb\nc\t\t1\nd\tx\n"), of)
    with pytest.raises(DataError, match="no line with 2 columns"):
        read_task(write(tmp_path, HEAD + "b\n"), of)


def test_missing_folders_and_files_are_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"nowhere, which does not exist; expected the folder that holds TOY/"):
        read_task(str(tmp_path / "nowhere"), SINGLE)
    with pytest.raises(DataError, match=r"has no folder TOY\. It holds nothing"):
        read_task(str(tmp_path), SINGLE)
    (tmp_path / "TOYS").mkdir()
    with pytest.raises(DataError, match=r"has no folder TOY; did you mean 'TOYS'\? It holds TOYS"):
        read_task(str(tmp_path), SINGLE)
    root = write(tmp_path, GOOD, name="trains.tsv")
    with pytest.raises(DataError, match=r"the task's own folder.* data\.dir="):
        read_task(str(tmp_path / "TOY"), SINGLE)
    with pytest.raises(DataError, match=r"train\.tsv is missing; did you mean 'trains.tsv'\? .*dev\.tsv, trains\.tsv"):
        read_task(root, SINGLE)
    with pytest.raises(DataError, match="which is a file"):
        read_task(str(tmp_path / "TOY" / "dev.tsv"), SINGLE)


def test_a_pattern_matches_the_exact_name_or_the_only_match(tmp_path: Path):
    of = task(files={"train": "train*.tsv", "dev": "dev.tsv"})
    root = write(tmp_path, HEAD + "a\t0\n", name="train_1000.tsv")
    split = read_task(root, of)["train"]
    assert split.origin == "TOY/train_1000.tsv"
    assert split.notes == ("train was read from TOY/train_1000.tsv; there is no train.tsv",)
    write(tmp_path, HEAD + "b\t0\n", name="train_2000.tsv")
    with pytest.raises(DataError, match=r"several files for train: train_1000.tsv, train_2000.tsv; rename"):
        read_task(root, of)
    write(tmp_path, HEAD + "c\t0\n")
    split = read_task(root, of)["train"]
    assert (split.origin, split.notes) == ("TOY/train.tsv", ())


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ({"dir": "TOY"}, "lacks folder.text"),
        (SINGLE.folder | {"colums": []}, r"task.folder.colums is not a key; did you mean 'columns'\?"),
        (SINGLE.folder | {"broken_lines": "drop"}, "broken_lines is 'drop'; expected refuse or skip"),
        (SINGLE.folder | {"files": {"train": "train.tsv"}}, "names no file for it"),
    ],
)
def test_an_incomplete_layout_is_refused(tmp_path: Path, folder: dict[str, Any], message: str):
    of = TaskConfig(name="toy", labels=["a", "b"], rows=SINGLE.rows, folder=folder)
    with pytest.raises(DataError, match=message):
        read_task(write(tmp_path, GOOD), of)


GLUE = SHARED / "glue"

REAL: dict[str, dict[str, int | list[int]]] = {
    "cola": {"train": [2528, 6023], "dev": [322, 721]},
    "sst2": {"train": [29780, 37569], "dev": [428, 444]},
    "mrpc": {"train": [1194, 2474], "dev": [129, 279]},
    "stsb": {"train": 5749, "dev": 1500},
    "qqp": {"train": [6099, 3395], "dev": [4944, 4973]},
    "mnli": {
        "train": [7664, 7538, 7439],
        "dev": [3479, 3123, 3213],
        "dev_mismatched": [346, 319, 335],
    },
    "rte": {"train": [1249, 1241], "dev": [146, 131]},
    "wnli": {"train": [323, 312], "dev": [40, 31]},
}
"""Rows per class of each split, or rows for a task with scores."""


@pytest.mark.parametrize("name", REAL)
def test_real_files_have_their_known_counts(name: str):
    from omegaconf import OmegaConf

    if not GLUE.is_dir():
        pytest.skip(f"no GLUE folder at {GLUE}; set KDRUN_SHARED to the folder that holds glue/")
    yaml = OmegaConf.load(ROOT / "conf" / "task" / f"{name}.yaml")
    of: Any = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(TaskConfig), yaml))
    splits = read_task(str(GLUE), of)
    assert list(splits) == list(REAL[name])
    for key, expected in REAL[name].items():
        labels = splits[key].labels()
        counts = len(labels) if of.is_regression else np.bincount(labels).tolist()
        assert counts == expected, key
        assert splits[key].is_pair == (len(of.text) == 2)
