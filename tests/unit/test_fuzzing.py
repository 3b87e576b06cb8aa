"""Random overrides and files: no traceback, no row dropped silently."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kdrun.config import compose, overrides
from kdrun.config.task import TaskConfig
from kdrun.data.sources import glue_folder
from kdrun.errors import DataError

TASK = TaskConfig(
    name="toy",
    text=["sentence"],
    labels=["no", "yes"],
    rows={"train": 4},
    folder={"dir": "TOY", "text": ["sentence"], "label": "label", "files": {"train": "train.tsv"}},
)
LAYOUT = glue_folder.GlueLayout.of(TASK)
HEAD = "sentence\tlabel\n"
same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, derandomize=True)

# all but a tab, a line feed, and what has no UTF-8; a blank of any kind at an end is no part of a text
cells = st.text(st.characters(exclude_characters="\t\n", exclude_categories=("Cs",)), min_size=1, max_size=20)
texts = cells.filter(lambda text: text.strip() and text == text.strip() and not text.endswith("\r"))
labeled = st.lists(st.tuples(texts, st.sampled_from(["0", "1", "no", "YES"])), min_size=1, max_size=12)


def read_folder(path: Path, content: bytes) -> Any:
    path.write_bytes(content)
    return glue_folder.read_file(path, TASK, LAYOUT, "train")


@same_folder
@given(rows=labeled, end=st.sampled_from(["\n", "\r\n"]), last=st.booleans(), mark=st.booleans())
def test_every_valid_row_is_read_unchanged(
    rows: list[tuple[str, str]], end: str, last: bool, mark: bool, tmp_path: Path
) -> None:
    lines = ["sentence\tlabel", *("\t".join(row) for row in rows)]
    text = ("\ufeff" if mark else "") + end.join(lines) + (end if last else "")
    split = read_folder(tmp_path / "train.tsv", text.encode())
    assert split.table.column("text").to_pylist() == [row[0] for row in rows]
    assert split.labels().tolist() == [int(row[1] in ("1", "YES")) for row in rows]


@same_folder
@given(content=st.one_of(st.binary(max_size=60), st.binary(max_size=60).map(HEAD.encode().__add__)))
@example(content=HEAD.encode() + b"a\t1\r\r\n")
@example(content=HEAD.encode() + b"a\t1\n\x00\n")
@example(content=HEAD.encode() + "a\t１\n".encode())
def test_bytes_are_rows_or_an_error(content: bytes, tmp_path: Path) -> None:
    try:
        split = read_folder(tmp_path / "train.tsv", content)
    except DataError:
        return
    lines = content.rstrip(b"\r\n").count(b"\n")  # of the rows: the header is one more
    assert split.num_rows == lines


@same_folder
@given(rows=labeled, broken=st.lists(texts, min_size=1, max_size=3), place=st.integers(0, 12))
def test_a_broken_row_among_good_ones_is_named(
    rows: list[tuple[str, str]], broken: list[str], place: int, tmp_path: Path
) -> None:
    lines = ["\t".join(row) for row in rows]
    at = min(place, len(lines))
    bad = "\t".join([*broken, "x", "0"])
    lines.insert(at, bad)
    with pytest.raises(DataError) as caught:
        read_folder(tmp_path / "train.tsv", (HEAD + "\n".join(lines) + "\n").encode())
    assert f"line {at + 2}: {len(broken) + 2} columns, expected 2" in str(caught.value)


KEYS = [
    "seed",
    "optim.lr",
    "task",
    "run_dir",
    "student.layers",
    "student.sizes",
    "task.labels",
    "hydra/launcher",
    "x.y",
]
PARTS = [
    "=",
    ",",
    "[",
    "]",
    "{",
    "}",
    ":",
    "'",
    '"',
    "\\",
    "$",
    "(",
    ")",
    " ",
    "~",
    "+",
    "@",
    "${",
    "a",
    "1",
    "1e5",
    "-",
]
PARTS += ["null", "true", "nan", "choice(", "range(", "sort(", "int(", "_target_", "sst2", "\x00", "é", "…", "/", ".."]
soup = st.lists(st.sampled_from(PARTS), max_size=12).map("".join)
words = st.one_of(st.text(max_size=30), soup, st.tuples(st.sampled_from(KEYS), soup).map("=".join))


@settings(deadline=None, max_examples=400, derandomize=True)
@given(word=words)
@example(word="seed=" + "[" * 3000)
@example(word="seed=" + "9" * 5000)
@example(word="seed=range(0,1e308)")
@example(word="seed=range(1,nan)")
@example(word="seed=range(0,9,0)")
@example(word="a=int(1e999)")
def test_an_argument_is_an_override_or_a_problem(word: str) -> None:
    override = overrides.parse_override(word)
    if isinstance(override, str):
        assert override
        return
    values = overrides.override_values(override)
    assert 0 <= len(values) <= overrides.MAX_VALUES
    assert "${" not in str(override.value())


@settings(deadline=None, max_examples=6, derandomize=True)
@given(word=st.tuples(st.sampled_from(KEYS), soup).map("=".join), multirun=st.booleans())
@example(word="task.labels={a:1}", multirun=False)
@example(word="student.sizes=[1]", multirun=False)
@example(word="run_dir=1e5", multirun=False)
@example(word="task.labels=[]", multirun=False)
@example(word="seed=[]", multirun=True)
@example(word="seed=choice()", multirun=True)
def test_an_argument_composes_or_is_a_problem(word: str, multirun: bool) -> None:
    problems = compose.validate_overrides([word], multirun=multirun)
    assert all(problems)
    if not problems and not multirun:
        compose.to_config(compose.compose([word]))
