"""Select runs of the ledger by method, task, status, age."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdrun.config.fields import setting
from kdrun.errors import ConfigError, DataError, did_you_mean
from kdrun.storage.ledger import LEDGER, Status, read_comparisons, read_runs, status_of, top_level_runs

Record = dict[str, Any]
"""A run or a comparison, as a line of the ledger."""
UNITS = {"m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
NO_RUNS = "no runs yet in {}; `kdrun method=kd task=sst2` runs one in about a minute"


FILTER_KEYS = ("method", "task", "preset", "experiment", "seed")
"""Filters by a single value that every run has."""


@dataclass
class RunFilters:
    """Selection of runs: all runs of the ledger that match every filter."""

    method: list[str] = setting([], "only these methods")
    task: list[str] = setting([], "only these tasks, by their short names")
    status: list[Status] = setting([], f"only runs that are {', '.join(s.value for s in Status)}")
    preset: list[str] = setting([], "only these presets")
    experiment: list[str] = setting([], "only runs of these published experiments")
    seed: list[int] = setting([], "only these seeds", ge=0)
    since: str | None = setting(None, "only runs started within this age: 30m, 3h, 2d, 1w")
    parts: bool = setting(False, "also list the single-domain runs inside a run over all domains")
    output_dir: str = setting("outputs", "folder whose ledger is read")
    ledger: list[str] = setting([], "ledger files to read instead")


def ledgers(filters: RunFilters) -> list[Path]:
    """Return the ledger files to read.

    Raises:
        ConfigError: a named file does not exist.
    """
    paths = [Path(name) for name in filters.ledger]
    problems = [f"ledger={path}: no such file; name a ledger.jsonl" for path in paths if not path.is_file()]
    if problems:
        raise ConfigError(problems)
    return paths or [Path(filters.output_dir) / LEDGER]


def ledger_runs(filters: RunFilters) -> list[Record]:
    """Return every run of the ledgers, oldest first, with its current status; a run in two ledgers counts once.

    Single-domain runs inside a run over all domains are left out, unless `parts` is set.
    """
    runs: dict[str, Record] = {}
    for path in ledgers(filters):
        for run in _read_ledger(path, read_runs):
            if run["run_id"] not in runs or run["status"] != "running":
                runs[run["run_id"]] = {**run, "status": status_of(run).value}
    selected = list(runs.values()) if filters.parts else top_level_runs(list(runs.values()))
    return sorted(selected, key=lambda run: run["started"])


def ledger_comparisons(filters: RunFilters) -> list[Record]:
    """Return every comparison of the ledgers, oldest first."""
    comparisons = {
        comparison["comparison_id"]: comparison
        for path in ledgers(filters)
        for comparison in _read_ledger(path, read_comparisons)
    }
    return sorted(comparisons.values(), key=lambda comparison: comparison["started"])


def _read_ledger(path: Path, reader: Any) -> list[Record]:
    try:
        return reader(path)
    except (json.JSONDecodeError, KeyError) as error:
        raise DataError(
            f"{path} is not a ledger ({type(error).__name__}: {error}); each line must be a JSON object"
        ) from error


def filter_runs(runs: list[Record], filters: RunFilters) -> list[Record]:
    """Return the runs that match the filters, in their order."""
    filter_values: dict[str, list[Any]] = {key: getattr(filters, key) for key in FILTER_KEYS}
    filter_values["status"] = [status.value for status in filters.status]
    oldest = earliest_start(filters.since)
    return [
        run
        for run in runs
        if all(filter_value(run, key) in values for key, values in filter_values.items() if values)
        and run["started"] >= oldest
    ]


def filter_value(record: Record, key: str) -> Any:
    """Return a record's value for a filter; the experiment is part of the config."""
    return (record.get("config") or {}).get(key) if key == "experiment" else record[key]


def earliest_start(age: str | None) -> float:
    """Return the Unix time an age ago; 0 for None.

    Raises:
        ConfigError: the age cannot be parsed.
    """
    if age is None:
        return 0.0
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([mhdw])", age)
    if match is None:
        raise ConfigError(
            [f"since={age} is not an age; write a number and m, h, d or w: since=30m, since=3h, since=2d"]
        )
    return time.time() - float(match[1]) * UNITS[match[2]]


def explain_no_match(runs: list[Record], filters: RunFilters) -> str:
    """Explain why no run matches the filters, and what to do."""
    where = " ".join(str(path) for path in ledgers(filters))
    if not runs:
        return NO_RUNS.format(where)
    return "\n".join([f"none of the {len(runs)} runs in {where} matches", *unmatched_values(runs, filters)])


def unmatched_values(runs: list[Record], filters: RunFilters) -> Iterator[str]:
    """Yield filter values that no run has, with the recorded values."""
    for key in FILTER_KEYS:
        recorded = sorted({str(filter_value(run, key)) for run in runs})
        for value in map(str, getattr(filters, key)):
            if value not in recorded:
                yield f"{key}={value}: no run has it{did_you_mean(value, recorded)} (recorded: {', '.join(recorded)})"
