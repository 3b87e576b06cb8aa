"""Old config keys: every alias, and records of the previous version."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kdrun.reporting.tables.run_facts import run_entry
from kdrun.runs.resume import expand_resume
from kdrun.storage import key_aliases
from kdrun.storage.ledger import LEDGER, finished_records, read_comparisons, read_runs
from kdrun.storage.run_record import read_record
from tests.helpers.paths import ROOT

PUBLISHED = ROOT / "conf" / "experiment" / "results.jsonl"
OLD_CONFIG: dict[str, Any] = {
    "method": {"name": "dfkd_t3", "shortest": 2, "generator_optim": {"lr": 1e-3, "clip_norm": 1.0, "accumulate": 1}},
    "teacher": {"lessons": None, "stray_weight": 1.0, "fine_tuning": {"accumulate": 2, "clip_norm": 5.0}},
    "optim": {"accumulate": 1, "clip_norm": 1.0},
    "checkpoint": {"every": 300.0, "keep": 2},
    "ood": {"neighbour": 1.0},
    "task": {"folder": {"select": "a column", "keep": 1}},
    "select": "last",
    "seed": 1,
}
NEW_CONFIG: dict[str, Any] = {
    "method": {
        "name": "dfkd_t3",
        "min_tokens": 2,
        "generator_optim": {"lr": 1e-3, "max_grad_norm": 1.0},  # its batches were never its own
    },
    "teacher": {
        "domain_strategy": None,
        "label_mass_weight": 1.0,
        "finetune_optim": {"gradient_accumulation_steps": 2, "max_grad_norm": 5.0},
    },
    "optim": {"gradient_accumulation_steps": 1, "max_grad_norm": 1.0},
    "checkpoint": {"every_seconds": 300.0, "keep_last": 2},
    "ood": {"neighbor": 1.0},
    "task": {"folder": {"select": "a column", "keep": 1}},
    "checkpoint_selection": "last",
    "seed": 1,
}
OLD_COMMAND = (
    "kdrun method=dfkd_t3 task=sst2 select=last method.shortest=2 teacher.fine_tuning.clip_norm=5 'data.dir=a b'"
)
NEW_COMMAND = (
    "kdrun method=dfkd_t3 task=sst2 checkpoint_selection=last method.min_tokens=2 "
    "teacher.finetune_optim.max_grad_norm=5 'data.dir=a b'"
)


def keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from keys(item)


def test_old_and_new_section_names_may_be_mixed() -> None:
    key = "teacher.finetune_optim.gradient_accumulation_steps"
    assert key_aliases.current_key("teacher.fine_tuning.accumulate") == key
    assert key_aliases.current_key("teacher.finetune_optim.accumulate") == key
    assert key_aliases.current_key("teacher.fine_tuning.gradient_accumulation_steps") == key
    assert key_aliases.current_key(key) == key


def test_keys_of_a_method_are_renamed_for_that_method_only() -> None:
    assert key_aliases.current_key("method.longest", ["dfkd_t3"]) == "method.max_tokens"
    assert key_aliases.current_key("method.longest", ["a_plugin"]) == "method.longest"
    assert key_aliases.rename_overrides(["method=a_plugin", "method.longest=3"]) == [
        "method=a_plugin",
        "method.longest=3",
    ]
    assert key_aliases.rename_overrides(["baselines=[kd,dfkd_t3]", "method.longest=3,4"])[1] == "method.max_tokens=3,4"


def test_a_nested_config_is_renamed_by_path() -> None:
    assert key_aliases.rename_config(OLD_CONFIG, ["dfkd_t3"]) == NEW_CONFIG
    assert key_aliases.rename_config(NEW_CONFIG, ["dfkd_t3"]) == NEW_CONFIG


def test_a_command_keeps_its_values_and_quotes() -> None:
    assert key_aliases.rename_command(OLD_COMMAND) == NEW_COMMAND
    assert key_aliases.rename_command("kdrun 'unclosed select=last") == "kdrun 'unclosed select=last"


def test_a_ledger_line_of_the_old_version_falls_into_the_cell_of_a_new_one(tmp_path: Path) -> None:
    line = next(
        json.loads(line)
        for line in PUBLISHED.read_text(encoding="utf-8").splitlines()
        if '"dfkd_t3"' in line and '"event": "run"' in line
    )
    old = {**line, "config": OLD_CONFIG, "command": OLD_COMMAND}
    new = {**line, "run_id": "new", "config": NEW_CONFIG, "command": NEW_COMMAND}
    path = tmp_path / LEDGER
    path.write_text("".join(f"{json.dumps(record)}\n" for record in (old, new)))
    entries = [run_entry(run, "accuracy", "dev") for run in finished_records(read_runs(path))]
    assert entries[0].identity == entries[1].identity
    assert entries[0].overrides == entries[1].overrides
    assert entries[0].overrides["checkpoint_selection"] == "last"


def test_no_published_line_is_read_with_an_old_key() -> None:
    records = [*read_runs(PUBLISHED), *read_comparisons(PUBLISHED)]
    tables = (key_aliases.RENAMED_KEYS, *key_aliases.RENAMED_METHOD_KEYS.values())
    old_names = {old.rpartition(".")[2] for table in tables for old in table}
    assert len(records) == len(PUBLISHED.read_text(encoding="utf-8").splitlines())
    assert not {name for record in records for name in keys(record.get("config")) if name in old_names}
    commands = [record["command"] for record in records]
    assert not [command for command in commands if key_aliases.rename_command(command) != command]
    names = {arm["name"] for record in records for arm in record.get("arms", [])}
    assert "tinybert_kd domain_strategy=mixed" in names
    assert not [name for name in names if "lessons=" in name]
    for record in records:
        arms = {arm["name"] for arm in record.get("arms", [])}
        assert {pair[side] for pair in record.get("pairs", []) for side in "ab"} <= arms


def test_run_json_of_the_old_version_is_read_with_the_new_keys(tmp_path: Path) -> None:
    record = {"run_id": "r1", "method": "dfkd_t3", "command": OLD_COMMAND, "config": OLD_CONFIG, "code": "c0de"}
    (tmp_path / "run.json").write_text(json.dumps(record))
    renamed = read_record(tmp_path)
    assert renamed is not None
    assert (renamed["config"], renamed["command"]) == (NEW_CONFIG, NEW_COMMAND)
    overrides = expand_resume([f"resume={tmp_path}", "method.shortest=9"])
    assert "checkpoint_selection=last" in overrides
    assert [override for override in overrides if "tokens" in override or "shortest" in override] == [
        "method.shortest=9"
    ]


def test_a_mistyped_record_is_left_to_its_reader() -> None:
    assert key_aliases.rename_run({"config": "text", "command": 3}) == {"config": "text", "command": 3}


@pytest.mark.parametrize("suffix", ["=1", "=[1,2]", ""])
def test_only_the_key_of_an_override_changes(suffix: str) -> None:
    assert key_aliases.rename_overrides([f"+ood.neighbour{suffix}"]) == [f"+ood.neighbor{suffix}"]
    assert key_aliases.rename_overrides([f"data.dir=select{suffix}"]) == [f"data.dir=select{suffix}"]
