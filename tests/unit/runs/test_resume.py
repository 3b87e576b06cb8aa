"""Overrides of a resumed run, also from an untrusted folder."""

import json
import shlex
from pathlib import Path

import pytest

from kdrun.errors import ConfigError
from kdrun.runs import resume


def folder(tmp_path: Path, *overrides: str) -> Path:
    record = {"run_id": "a", "command": shlex.join(["kdrun", *overrides]), "config": {}, "code": "0", "method": "kd"}
    path = tmp_path / "runs" / "mine"
    path.mkdir(parents=True, exist_ok=True)
    (path / "run.json").write_text(json.dumps(record))
    return path


def test_typed_overrides_replace_recorded_ones_also_under_an_old_name(tmp_path: Path) -> None:
    path = folder(tmp_path, "optim.gradient_accumulation_steps=2", "seed=3", "run_dir=/elsewhere")
    expanded = resume.expand_resume([f"resume={path}", "optim.accumulate=4"])
    assert expanded == ["seed=3", "optim.accumulate=4", f"run_dir='{path}'"]


def test_recorded_hydra_settings_are_refused(tmp_path: Path) -> None:
    path = folder(tmp_path, "hydra/launcher=basic")
    with pytest.raises(ConfigError, match="hydra/launcher=basic"):
        resume.expand_resume([f"resume={path}"])


def test_a_recorded_output_folder_must_have_a_ledger_or_contain_the_run(tmp_path: Path) -> None:
    other = tmp_path / "other"
    path = folder(tmp_path, f"output_dir={other}")
    with pytest.raises(ConfigError, match="output_dir"):
        resume.expand_resume([f"resume={path}"])
    other.mkdir()
    (other / "ledger.jsonl").write_text("")
    assert f"output_dir={other}" in resume.expand_resume([f"resume={path}"])
    assert resume.expand_resume([f"resume={folder(tmp_path, f'output_dir={tmp_path}')}"])


def test_a_command_with_an_open_quote_is_refused(tmp_path: Path) -> None:
    path = folder(tmp_path)
    record = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps(record | {"command": "kdrun 'seed=1"}))
    with pytest.raises(ConfigError, match=r"run\.json"):
        resume.expand_resume([f"resume={path}"])
