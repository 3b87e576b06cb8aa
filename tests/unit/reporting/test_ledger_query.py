"""Selection of runs from ledgers."""

import time
from pathlib import Path
from typing import Any

import pytest

from kdrun.errors import ConfigError, DataError
from kdrun.reporting import ledger_query
from kdrun.reporting.ledger_query import RunFilters
from kdrun.storage.files import append_jsonl
from kdrun.storage.ledger import Status


def write(path: Path, run_id: str, status: str = "done", **keys: Any) -> None:
    record = {"method": "kd", "task": "sst2", "preset": "smoke", "seed": 1, "started": 1.0, "config": {}, "group": None}
    record |= {"command": "kdrun", "synthetic": False, "headline": {"metric": "f1", "split": "dev"}, "teacher": None}
    record |= {"student": {"name": "s", "metrics": {"dev": {"f1": 0.5}}}, "retention": None}
    append_jsonl(path, {"event": "run", "run_id": run_id, "status": status} | record | keys)


def select(path: Path, **filters: Any) -> list[str]:
    options = RunFilters(ledger=[str(path)], **filters)
    return [run.facts["run_id"] for run in ledger_query.filter_runs(ledger_query.ledger_runs(options), options)]


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.jsonl"
    write(path, "new", started=time.time())
    write(path, "old", method="zskd", seed=2)
    write(path, "failed", "failed", started=2.0, config={"experiment": "tables"})
    write(path, "part", group="old", started=3.0)
    return path


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ["old", "failed", "new"]),
        ({"parts": True}, ["old", "failed", "part", "new"]),
        ({"method": ["zskd"]}, ["old"]),
        ({"seed": [1, 3]}, ["failed", "new"]),
        ({"status": [Status.failed]}, ["failed"]),
        ({"experiment": ["tables"]}, ["failed"]),
        ({"since": "1h"}, ["new"]),
        ({"method": ["kd"], "seed": [2]}, []),
    ],
)
def test_filters_select_runs_in_order_of_their_start(
    ledger: Path, filters: dict[str, Any], expected: list[str]
) -> None:
    assert select(ledger, **filters) == expected


def test_a_run_in_two_ledgers_counts_once_with_its_final_status(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.jsonl", "b.jsonl")]
    write(paths[0], "run", "running", pid=None)
    write(paths[1], "run", "done")
    for order in (paths, paths[::-1]):
        (run,) = ledger_query.ledger_runs(RunFilters(ledger=[str(path) for path in order]))
        assert run.record is not None
        assert run.record["status"] == "done"


def test_values_that_no_run_has_are_named_with_the_recorded_ones(ledger: Path) -> None:
    options = RunFilters(ledger=[str(ledger)], method=["zsk"], seed=[7])
    lines = ledger_query.explain_no_match(ledger_query.ledger_runs(options), options).splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("method=zsk:")
    assert "zskd" in lines[1]
    assert lines[2].startswith("seed=7:")


def test_a_missing_ledger_a_bad_age_and_a_damaged_line_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        ledger_query.ledger_runs(RunFilters(ledger=["nowhere"]))
    with pytest.raises(ConfigError, match="since=2y"):
        ledger_query.earliest_start("2y")
    path = tmp_path / "ledger.jsonl"
    path.write_text("{}\n")
    with pytest.raises(DataError, match="line 1"):
        select(path)


def test_an_output_folder_without_a_ledger_has_no_runs(tmp_path: Path) -> None:
    options = RunFilters(output_dir=str(tmp_path))
    runs = ledger_query.ledger_runs(options)
    assert runs == []
    assert str(tmp_path) in ledger_query.explain_no_match(runs, options)
