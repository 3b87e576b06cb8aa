"""Select runs of the ledger by method, task, status, age."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdrun.config.fields import setting
from kdrun.errors import ConfigError, DataError, did_you_mean
from kdrun.storage.ledger import LEDGER, Status, read_comparisons, read_runs, status_of, top_level_runs

Record = dict[str, Any]
"""A run, or a comparison, as the ledger has it."""
UNITS = {"m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
EMPTY = "no runs yet in {}; `kdrun method=kd task=sst2` makes one in about a minute"


FILTERED = ("method", "task", "preset", "experiment", "seed")
"""Keys of the filters that a run has one value of."""


@dataclass
class RunFilters:
    """Which runs: all of the ledger that fit every value given."""

    method: list[str] = setting([], "only these methods")
    task: list[str] = setting([], "only these tasks, by their short names")
    status: list[Status] = setting([], f"only runs that are {', '.join(s.value for s in Status)}")
    preset: list[str] = setting([], "only these presets")
    experiment: list[str] = setting([], "only what was run as one of these published experiments")
    seed: list[int] = setting([], "only these seeds", ge=0)
    since: str | None = setting(None, "only what started within this age: 30m, 3h, 2d, 1w")
    parts: bool = setting(False, "also the runs of single domains that a run of all domains is made of")
    output_dir: str = setting("outputs", "the folder whose ledger is read")
    ledger: list[str] = setting([], "ledger files to read in its place")


def ledgers(filters: RunFilters) -> list[Path]:
    """The ledger files that are read.

    Raises:
        ConfigError: a file that was named does not exist.
    """
    named = [Path(name) for name in filters.ledger]
    absent = [f"ledger={path}: there is no such file; name a ledger.jsonl" for path in named if not path.is_file()]
    if absent:
        raise ConfigError(absent)
    return named or [Path(filters.output_dir) / LEDGER]


def read(filters: RunFilters) -> list[Record]:
    """Every run of the ledgers, oldest first, with what became of it as `status`; one in two ledgers counts once.

    A run of one domain that is part of a run of all counts within that, unless `parts` asks for it.
    """
    found: dict[str, Record] = {}
    for path in ledgers(filters):
        for run in _well_formed(path, read_runs):
            if run["run_id"] not in found or run["status"] != "running":
                found[run["run_id"]] = {**run, "status": status_of(run).value}
    chosen = list(found.values()) if filters.parts else top_level_runs(list(found.values()))
    return sorted(chosen, key=lambda run: run["started"])


def comparisons(filters: RunFilters) -> list[Record]:
    """Every comparison of the ledgers, oldest first."""
    found = {c["comparison_id"]: c for path in ledgers(filters) for c in _well_formed(path, read_comparisons)}
    return sorted(found.values(), key=lambda one: one["started"])


def _well_formed(path: Path, reader: Any) -> list[Record]:
    try:
        return reader(path)
    except (json.JSONDecodeError, KeyError) as error:
        raise DataError(
            f"{path} is not a ledger ({type(error).__name__}: {error}); each line is a JSON object"
        ) from error


def filter_runs(found: list[Record], filters: RunFilters) -> list[Record]:
    """The runs that fit the filters, in their order."""
    wanted: dict[str, list[Any]] = {key: getattr(filters, key) for key in FILTERED}
    wanted["status"] = [status.value for status in filters.status]
    oldest = since(filters.since)
    return [
        run
        for run in found
        if all(value_of(run, key) in values for key, values in wanted.items() if values) and run["started"] >= oldest
    ]


def value_of(record: Record, key: str) -> Any:
    """What a run or a comparison says of a filter's key; its experiment stands in its config."""
    return (record.get("config") or {}).get(key) if key == "experiment" else record[key]


def since(age: str | None) -> float:
    """The Unix time an age ago; the beginning of time for None.

    Raises:
        ConfigError: it is no age.
    """
    if age is None:
        return 0.0
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([mhdw])", age)
    if match is None:
        raise ConfigError([f"since={age} is no age; write a number and m, h, d or w: since=30m, since=3h, since=2d"])
    return time.time() - float(match[1]) * UNITS[match[2]]


def explain_no_match(found: list[Record], filters: RunFilters) -> str:
    """Why no run was chosen, and what to do."""
    where = " ".join(str(path) for path in ledgers(filters))
    if not found:
        return EMPTY.format(where)
    return "\n".join([f"none of the {len(found)} runs in {where} fits", *unmatched_values(found, filters)])


def unmatched_values(found: list[Record], filters: RunFilters) -> Iterator[str]:
    """Filter values that no run has, with the values there are."""
    for key in FILTERED:
        known = sorted({str(value_of(run, key)) for run in found})
        for value in map(str, getattr(filters, key)):
            if value not in known:
                yield f"{key}={value}: no run has it{did_you_mean(value, known)} (there are: {', '.join(known)})"


def headline(run: Mapping[str, Any], role: str = "student") -> float | None:
    """The headline score of a role, from -1 to 1; None where it is undefined or there is no such role."""
    metric, split = run["headline"]["metric"], run["headline"]["split"]
    return run[role]["metrics"][split][metric] if run.get(role) else None
