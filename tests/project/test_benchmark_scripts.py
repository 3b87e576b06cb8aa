"""Scripts that measure runs give kdrun words that it takes."""

import importlib
from pathlib import Path

import pytest

from kdrun.config import compose


@pytest.mark.parametrize("name", ["sweeps", "stream"])
def test_the_runs_that_are_measured_compose(name: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("A sentence. Another one.\n")
    module = importlib.import_module(f"benchmarks.{name}")
    words = [*module.RUN, *([f"corpus.dir={tmp_path}"] if name == "stream" else [])]
    assert compose.load_config(words).method.name in words[0]
