"""Attacks by files of a teacher's answers, and by links in place of their output."""

import json
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from kdrun.config.task import TaskConfig
from kdrun.data.recorded.table import dump_header, read_table
from kdrun.data.recorded.writer import check_output, open_writer
from kdrun.data.splits import make_split
from kdrun.errors import DataError

SST2 = TaskConfig(name="sst2", text=["sentence"], labels=["negative", "positive"])


class Bomb:
    """Calls a function when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return pytest.fail, ("the file was unpickled",)


@pytest.mark.parametrize("name", ["answers.jsonl", "answers.parquet", "answers.pkl"])
def test_pickles_are_not_loaded_under_any_name(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(DataError, match=r"answers"):
        read_table(tmp_path / name, SST2)


def write(path: Path) -> None:
    rows = make_split("train", [pa.array(["a"])], None, "train.tsv")
    with open_writer(path, SST2, {}) as writer:
        writer.write(rows, "train", np.zeros((1, 2), np.float32))


def test_files_of_others_are_not_replaced(tmp_path: Path) -> None:
    precious = tmp_path / "rows.jsonl"
    precious.write_text('{"text": "precious"}\n')
    (tmp_path / "link.jsonl").symlink_to(precious)
    for name in ("rows.jsonl", "link.jsonl"):
        (problem,) = check_output(tmp_path / name)
        assert "kdrun label did not write it" in problem


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "elsewhere.jsonl", tmp_path / "link.jsonl"
    target.write_text(dump_header({}) + "\n")
    before = target.read_bytes()
    link.symlink_to(target)
    assert not check_output(link)
    write(link)
    assert not link.is_symlink()
    assert target.read_bytes() == before
    assert json.loads(link.read_text().splitlines()[1])["text"] == "a"


def test_an_interrupted_file_does_not_appear(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def interrupted(path: Path) -> None:
        with open_writer(path, SST2, {}):
            raise Stop

    for name in ("answers.jsonl", "answers.parquet"):
        with pytest.raises(Stop):
            interrupted(tmp_path / name)
    assert not list(tmp_path.iterdir())
