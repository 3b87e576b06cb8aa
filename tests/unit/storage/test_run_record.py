"""run.json: validation and differences."""

import json
from pathlib import Path
from typing import Any

import pytest

from kdrun.errors import ConfigError
from kdrun.storage import run_record

RECORD = {"run_id": "a", "command": "kdrun", "config": {"method": {"name": "kd"}}, "code": "0"}


@pytest.mark.parametrize("content", ["[1]", "{", json.dumps(RECORD | {"config": "x"}), json.dumps({"run_id": "a"})])
def test_a_file_of_another_program_is_refused(tmp_path: Path, content: str) -> None:
    assert run_record.read_record(tmp_path) is None
    (tmp_path / run_record.RECORD).write_text(content)
    with pytest.raises(ConfigError, match=r"run\.json"):
        run_record.read_record(tmp_path)


def test_old_config_keys_are_renamed(tmp_path: Path) -> None:
    old: dict[str, Any] = RECORD | {"config": {"method": {"name": "kd"}, "optim": {"accumulate": 2}}}
    (tmp_path / run_record.RECORD).write_text(json.dumps(old))
    record = run_record.read_record(tmp_path)
    assert record is not None
    assert record["config"]["optim"] == {"gradient_accumulation_steps": 2}


def test_changed_values_come_before_keys_of_one_side() -> None:
    before = {"a": 1, "optim": {"lr": 0.1, "gone": True}}
    now = {"a": 1, "optim": {"new": 3, "lr": 0.2}}
    assert run_record.config_differences(before, now) == [
        "optim.lr was 0.1, now 0.2",
        "optim.gone was True, now missing",
        "optim.new was missing, now 3",
    ]
    assert run_record.code_difference("1", "1") == []
    assert "was 1, now 2" in run_record.code_difference("1", "2")[0]


def test_long_lists_of_differences_are_cut() -> None:
    texts = [str(i) for i in range(run_record.MAX_DIFFERENCES)]
    assert run_record.shorten(texts) == texts
    assert run_record.shorten([*texts, "x", "y"]) == [*texts, "… and 2 more"]
