"""`runtime.deterministic`: equal bytes for equal seeds, and a setting that ends with its run."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from kdrun.config import compose
from kdrun.console import QuietConsole
from kdrun.runs import runner

GENERATORS = {"mate_kd": "smoke", "dfkd_t3": "t5_smoke", "meta_kd": "none"}

pytestmark = pytest.mark.usefixtures("run_env")


@pytest.fixture(autouse=True)
def threads_of_others() -> Iterator[None]:
    """Two threads here; what the other tests of this process had is put back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def student_of(folder: Path, *words: str) -> bytes:
    config = compose.load_config(["preset=smoke", "report=false", f"run_dir={folder}", *words])
    runner.run(config, QuietConsole())
    return (folder / "student" / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    "method", [pytest.param(m, marks=() if m == "mate_kd" else pytest.mark.slow) for m in GENERATORS]
)
def test_runs_of_one_seed_leave_the_same_bytes(method: str, tmp_path: Path) -> None:
    task = ("task=amazon", "method.domain=books") if method == "meta_kd" else ("task=sst2",)
    words = (f"method={method}", f"generator={GENERATORS[method]}", *task, "runtime.threads=2")
    first, again = (student_of(tmp_path / name, *words, "runtime.deterministic=true") for name in "ab")
    assert torch.are_deterministic_algorithms_enabled()
    assert first == again
    runner.prepare(compose.load_config(["preset=smoke", *words]), QuietConsole())
    assert not torch.are_deterministic_algorithms_enabled()
