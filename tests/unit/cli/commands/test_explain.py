"""`kdrun explain`: arguments and pages."""

from pathlib import Path

import pytest

from kdrun.cli.commands import explain
from kdrun.cli.explain.lookup import UnknownNameError
from kdrun.errors import ConfigError


def test_all_unknown_names_are_reported_together(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UnknownNameError, match=r"'kdd'.*; .*'sst22'"):
        explain.main(["kdd", "kd", "sst22"])
    assert capsys.readouterr().out == ""  # no card before the error


def test_pages_are_written_into_an_existing_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match=r"to=.*missing"):
        explain.main([f"to={tmp_path / 'missing'}"])
    with pytest.raises(ConfigError, match=r"to=.* kd"):
        explain.main([f"to={tmp_path}", "kd"])
    assert explain.main([f"to={tmp_path}"]) == 0
    assert capsys.readouterr().out.split() == [str(path) for path in sorted(tmp_path.iterdir(), key=lambda p: order(p))]


def order(path: Path) -> int:
    return ["config.md", "commands.md", "methods.md", "result_schema.md"].index(path.name)
