"""Files of a run are checked before torch loads and before the run's folder is made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kdrun.config import compose
from kdrun.data.file_checks import check_run_files
from kdrun.errors import DataError
from tests.helpers import forked
from tests.helpers.paths import ROOT

GOOD = "sentence\tlabel\nfine\t1\nbad\t0\n"


def check(*overrides: str) -> str:
    """The message for a run; empty if its files pass."""
    try:
        check_run_files(compose.load_config(list(overrides)))
    except DataError as error:
        return str(error)
    return ""


@pytest.fixture
def glue(tmp_path: Path) -> Path:
    (tmp_path / "SST-2").mkdir()
    for name in ("train", "dev"):
        (tmp_path / "SST-2" / f"{name}.tsv").write_text(GOOD)
    return tmp_path


def folder(glue: Path, *overrides: str) -> str:
    return check("task=sst2", "data=folder", f"data.dir={glue}", *overrides)


def test_sound_files_pass(glue: Path) -> None:
    assert check("task=sst2") == ""
    assert folder(glue) == ""


def test_a_missing_folder_file_and_column(glue: Path) -> None:
    assert "data.dir" in folder(glue / "no")
    (glue / "SST-2/dev.tsv").write_text("sentense\tlabel\na\t1\n")
    assert "'sentense'" in folder(glue)
    (glue / "SST-2/dev.tsv").unlink()
    assert "dev.tsv is missing" in folder(glue)


def test_a_data_free_run_needs_no_training_file(glue: Path) -> None:
    (glue / "SST-2/train.tsv").unlink()
    (glue / "text").mkdir()
    (glue / "text/a.txt").write_text("a text\n")
    assert "train.tsv" in folder(glue)
    assert folder(glue, "method=kd_ood", "corpus=folder", f"corpus.dir={glue}/text") == ""


def test_models_corpora_and_generated_text(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    message = check(f"teacher.path={tmp_path}/modle", f"student.path={tmp_path}/model")
    assert "teacher.path" in message
    assert "'model'" in message
    assert "student.path" in message
    assert "config.json" in message
    assert "corpus.dir" in check("method=kd_ood", "corpus=folder", f"corpus.dir={tmp_path}/no")
    assert f"{tmp_path}/no" in check("data=generated", f"data.path={tmp_path}/no")
    assert f"{tmp_path}/no" in check("method=kd_ood", f"ood.path={tmp_path}/no")


def test_a_model_that_takes_no_part_is_not_checked(tmp_path: Path) -> None:
    assert check("method=finetune", f"teacher.path={tmp_path}/no", "student=tiny") == ""


def test_a_task_and_a_split_that_the_embedded_data_lacks() -> None:
    config = compose.load_config(["task=sst2"])
    config.task.rows = {"train": 9, "devel": 3}
    with pytest.raises(DataError, match="devel"):
        check_run_files(config)
    config.task.name = "emotion"
    with pytest.raises(DataError, match=r"emotion.*data=folder"):
        check_run_files(config)


@pytest.mark.parametrize("command", [[], ["check"], ["compare", "method=kd"]], ids=str)
def test_the_command_line_refuses_without_torch_and_leaves_nothing(tmp_path: Path, command: list[str]) -> None:
    words = [*command, "data=folder", f"data.dir={tmp_path}/no", f"output_dir={tmp_path}/out"]
    code = f"import sys; from kdrun.cli import main; code = main.run({words!r}); print(code, 'torch' in sys.modules)"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = forked.without_torch().run(code, env=env, cwd=tmp_path)
    assert done.stdout.split()[-2:] == ["1", "False"], done.stderr
    assert "data.dir" in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []
