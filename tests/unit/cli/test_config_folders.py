"""`--config-dir` in arguments and environment."""

import os
from pathlib import Path

import pytest

from kdrun.cli.config_folders import folders_of_one_command, take_config_folders
from kdrun.config.paths import CONFIG_FOLDERS
from kdrun.errors import ConfigError


@pytest.fixture(autouse=True)
def folders_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONFIG_FOLDERS, "/before")


def test_folders_come_before_those_of_the_environment_once_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    args = ["method=kd", "--config-dir", "mine", "-cd=/before", "seed=1", "--config-dir=/other"]
    assert take_config_folders(args) == ["method=kd", "seed=1"]
    assert os.environ[CONFIG_FOLDERS].split(os.pathsep) == [f"{tmp_path}/mine", "/before", "/other"]


def test_arguments_without_the_flag_change_nothing() -> None:
    assert take_config_folders(["student.path=--config-dir"]) == ["student.path=--config-dir"]
    assert os.environ[CONFIG_FOLDERS] == "/before"


@pytest.mark.parametrize("flag", ["--config-dir", "-cd"])
def test_a_flag_without_a_folder_is_an_error(flag: str) -> None:
    with pytest.raises(ConfigError, match=f"{flag}: .*{flag} DIR"):
        take_config_folders(["method=kd", flag])


def test_folders_are_those_of_one_command(monkeypatch: pytest.MonkeyPatch) -> None:
    with folders_of_one_command():
        take_config_folders(["-cd", "/mine"])
    assert os.environ[CONFIG_FOLDERS] == "/before"
    monkeypatch.delenv(CONFIG_FOLDERS)
    with folders_of_one_command():
        take_config_folders(["-cd", "/mine"])
    assert CONFIG_FOLDERS not in os.environ
