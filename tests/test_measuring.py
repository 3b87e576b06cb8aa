"""Scripts that measure runs give kdrun words that it takes."""

import importlib.util
from pathlib import Path

import pytest

from kdrun import compose

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"


@pytest.mark.parametrize("name", ["sweeps", "stream"])
def test_the_runs_that_are_measured_compose(name: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("A sentence. Another one.\n")
    spec = importlib.util.spec_from_file_location(f"measuring_{name}", SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    words = [*module.RUN, *([f"corpus.dir={tmp_path}"] if name == "stream" else [])]
    assert compose.load(words).method.name in words[0]
