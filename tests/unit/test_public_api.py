"""Names that scripts and plugins import."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

import kdrun
import kdrun.methods
from kdrun.errors import ConfigError
from tests.helpers import forked


@pytest.mark.parametrize("name", ["kdrun", "kdrun.methods"])
def test_every_public_name_exists_and_is_documented(name: str) -> None:
    module = importlib.import_module(name)
    for public in module.__all__:
        value = getattr(module, public)
        assert public.startswith("__") or value.__doc__, public


def test_importing_the_public_api_loads_no_torch() -> None:
    code = (
        "import json, sys, kdrun, kdrun.methods\n"
        "print(json.dumps(sorted({'torch', 'transformers', 'datasets'} & set(sys.modules))))"
    )
    done = forked.without_torch().run(code)
    assert json.loads(done.stdout) == [], done.stderr


def test_run_takes_overrides_and_reports_every_problem_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        kdrun.run(["method=kdd", "optim.lr=-1"])
    assert "kdd" in str(error.value)
    assert "optim.lr" in str(error.value)


def test_run_returns_the_result_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def fake_run(config: Any, *, overrides: list[str]) -> dict[str, Any]:
        calls.append((config.method.name, overrides))
        return {"status": "done"}

    monkeypatch.setattr("kdrun.runs.runner.run", fake_run)
    overrides = ["method=finetune", "preset=smoke", f"output_dir={tmp_path}"]
    assert kdrun.run(overrides) == {"status": "done"}
    assert calls == [("finetune", overrides)]
