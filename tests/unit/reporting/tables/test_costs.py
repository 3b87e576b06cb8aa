"""Costs of runs as a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kdrun.errors import ConfigError, DataError
from kdrun.reporting.tables.options import TableKind, TableOptions
from kdrun.reporting.tables.table import make_table
from kdrun.storage.cost_card import student_cost
from tests.helpers.cost_cards import card
from tests.helpers.finished_runs import result


def ledger(folder: Path, cost: Any) -> Path:
    content = result()
    start = {"event": "start", "run_id": "a", "started": 1.0, "command": "kdrun method=kd", "run_dir": "x"}
    start |= {key: content[key] for key in ("method", "task", "preset", "seed")} | {"config": {}}
    end = {"event": "end", "run_id": "a", "status": "done", "synthetic": False, "data_name": "SST-2"}
    end |= {key: content[key] for key in ("headline", "teacher", "student", "retention", "time", "steps", "checkpoint")}
    path = folder / "ledger.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in (start, end | ({"cost": cost} if cost else {}))))
    return path


def options(path: Path, **more: Any) -> TableOptions:
    return TableOptions(ledger=[str(path)], of=TableKind.costs, **more)


def test_a_row_per_run_with_costs(tmp_path: Path) -> None:
    cost: Any = student_cost(card(2.0))  # pyright: ignore[reportArgumentType]
    table = make_table(options(ledger(tmp_path, cost)))
    assert table.rows == [
        ["kd", "SST-2", "bert 2x64", "1", "84.0", "133 k", "0.53", "1.5", "2.00", "900", "cpu <b>", "1"]
    ]
    assert table.records[0]["latency_p50_ms"] == 2.0


def test_runs_without_costs_and_options_without_effect_are_refused(tmp_path: Path) -> None:
    path = ledger(tmp_path, None)
    with pytest.raises(DataError, match="cost_card=true"):
        make_table(options(path))
    with pytest.raises(ConfigError, match=r"of=costs .*leave out metric"):
        make_table(options(path, metric="accuracy"))
