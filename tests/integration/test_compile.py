"""`runtime.compile`: compiled modules, requirements, and results equal up to rounding."""

import importlib.util
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console as RichConsole
from torch import nn

from benchmarks.stress import killable_runs
from kdrun.config import compose
from kdrun.console import Console
from kdrun.errors import ConfigError
from kdrun.models import compile
from kdrun.runs import runner

HAS_COMPILER = any(shutil.which(name) for name in compile.COMPILERS)

pytestmark = pytest.mark.usefixtures("run_env")


def carry_out(method: str, folder: Path, *words: str) -> list[float]:
    """Every logged loss."""
    words = (*killable_runs.overrides(method, folder), f"run_dir={folder}/{len(words)}", *words)
    runner.run(compose.load_config(list(words)), Console(RichConsole(file=io.StringIO())))
    lines = (folder / str(len(words) - len(killable_runs.overrides(method, folder)) - 1) / "metrics.jsonl").read_text()
    return [record["loss"] for record in map(json.loads, lines.splitlines()) if "loss" in record]


@pytest.mark.parametrize("method", ["mate_kd", pytest.param("dfkd_t3", marks=pytest.mark.slow)])
def test_every_layer_is_compiled_once_for_any_length(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[nn.Module] = []
    calls: list[dict[str, Any]] = []

    def note(self: nn.Module, **how: Any) -> None:
        compiled.append(self)
        calls.append(how)

    monkeypatch.setattr(nn.Module, "compile", note)
    monkeypatch.setattr(compile, "check_compiler", lambda device: None)
    carry_out(method, tmp_path, "runtime.compile=true")
    config = compose.load_config(killable_runs.overrides(method, tmp_path))
    writer = ["T5Block"] * 4 if method == "dfkd_t3" else ["BertLayer"] * config.generator.sizes["num_hidden_layers"]
    readers = sum(role.sizes["num_hidden_layers"] for role in (config.teacher, config.student))
    assert sorted(type(layer).__name__ for layer in compiled) == ["BertLayer"] * readers + writer
    assert len(set(compiled)) == len(compiled)
    assert all(how == {"dynamic": True} for how in calls)


def test_compile_without_a_compiler_is_a_config_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ConfigError, match=r"runtime\.compile=true needs a C\+\+ compiler, and none of g\+\+"):
        carry_out("kd", tmp_path, "runtime.compile=true")
    assert not (tmp_path / "1" / "result.json").exists()
    (tmp_path / "mine").touch(mode=0o755)
    monkeypatch.setenv("CXX", "mine")
    compile.check_compiler(torch.device("cpu"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="needs the package triton on a GPU"):
        compile.check_compiler(torch.device("cuda"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # of torch, about itself
@pytest.mark.skipif(not HAS_COMPILER, reason="no C++ compiler here")
@pytest.mark.parametrize("method", ["kd", "mate_kd", "dfkd_t3"])
def test_results_differ_by_rounding_alone(method: str, tmp_path: Path) -> None:
    plain = carry_out(method, tmp_path)
    compiled = carry_out(method, tmp_path, "runtime.compile=true")
    assert len(plain) >= 3
    assert compiled == pytest.approx(plain, rel=1e-4)
