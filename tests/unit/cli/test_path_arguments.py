"""Paths and texts among the arguments of a subcommand."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from kdrun.cli.path_arguments import split_paths


@dataclass
class Options:
    text: str = ""


@pytest.mark.parametrize(
    ("arg", "is_path"),
    [("RUN", True), ("text=a", False), ("texts=a", False), ("x = y", True), ("a=b and c", True), ("1+1=2", True)],
)  # fmt: skip
def test_an_option_has_a_key_and_no_blanks(arg: str, is_path: bool) -> None:
    paths, options = split_paths([arg], Options)
    assert (paths, options) == (([arg], []) if is_path else ([], [arg]))


def test_an_existing_file_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lr=1").mkdir()
    monkeypatch.chdir(tmp_path)
    assert split_paths(["lr=1", "lr=2"], Options) == (["lr=1"], ["lr=2"])
