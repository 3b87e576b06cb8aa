"""Valid overrides of the benchmarks of whole runs."""

import importlib
from pathlib import Path

import pytest

from benchmarks import own_rows
from kdrun.config import compose


@pytest.mark.parametrize("name", ["sweeps", "stream"])
def test_the_measured_runs_compose(name: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("A sentence. Another one.\n")
    module = importlib.import_module(f"benchmarks.{name}")
    overrides = [*module.RUN, *([f"corpus.dir={tmp_path}"] if name == "stream" else [])]
    assert compose.load_config(overrides).method.name in overrides[0]


def test_both_sides_read_the_same_own_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path / "cache"))
    own_rows.write_rows(tmp_path / "train.csv", 25)
    (tmp_path / "dev.csv").write_text(own_rows.DEV)
    assert own_rows.read_with_kdrun(tmp_path / "train.csv") == 25
    assert own_rows.read_with_datasets(tmp_path / "train.csv") == 25
