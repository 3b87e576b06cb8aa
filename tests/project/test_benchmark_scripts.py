"""Valid overrides of the benchmarks of whole runs."""

import importlib
from pathlib import Path

import pytest

from kdrun.config import compose


@pytest.mark.parametrize("name", ["sweeps", "stream"])
def test_the_measured_runs_compose(name: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("A sentence. Another one.\n")
    module = importlib.import_module(f"benchmarks.{name}")
    overrides = [*module.RUN, *([f"corpus.dir={tmp_path}"] if name == "stream" else [])]
    assert compose.load_config(overrides).method.name in overrides[0]
