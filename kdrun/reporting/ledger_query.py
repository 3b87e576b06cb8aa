"""Select runs of the ledger by method, task, status, age."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kdrun.config.fields import setting
from kdrun.errors import ConfigError, did_you_mean
from kdrun.storage.ledger import LEDGER, Status, read_comparisons, status_of
from kdrun.storage.ledger_lines import LedgerLines, RunLines, scan

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


@dataclass(frozen=True)
class ListedRun:
    """A run of a ledger: the facts by which it is listed, and its whole record, which is parsed on first use.

    Attributes:
        ledger: the ledger that has its lines.
        lines: its lines.
    """

    ledger: LedgerLines
    lines: RunLines

    @property
    def facts(self) -> Record:
        """All of its start line but the config and the command, and its recorded status."""
        return self.lines.facts

    @cached_property
    def record(self) -> Record | None:
        """Its whole record with its current status; None if a line of it is unreadable."""
        return next(whole_records([self]), None)


def ledger_runs(filters: RunFilters) -> list[ListedRun]:
    """Return every run of the ledgers, oldest first; a run in two ledgers counts once.

    Single-domain runs inside a run over all domains are left out, unless `parts` is set.
    """
    runs: dict[str, ListedRun] = {}
    for ledger in map(scan, ledgers(filters)):
        for run_id, lines in ledger.runs.items():
            if run_id not in runs or lines.facts["status"] != Status.running.value:
                runs[run_id] = ListedRun(ledger, lines)
    selected = [run for run in runs.values() if filters.parts or run.facts.get("group") is None]
    return sorted(selected, key=lambda run: run.facts["started"])


def whole_records(runs: Iterable[ListedRun]) -> Generator[Record, None, None]:
    """Yield the whole records of runs with their current status, in their order; unreadable ones are left out."""
    for _, group in itertools.groupby(runs, key=lambda run: id(run.ledger)):
        first = next(group)
        lines = (run.lines for run in itertools.chain([first], group))
        for record in first.ledger.records(lines):
            yield record | {"status": status_of(record).value}


def ledger_comparisons(filters: RunFilters) -> list[Record]:
    """Return every comparison of the ledgers, oldest first."""
    comparisons = {
        comparison["comparison_id"]: comparison for path in ledgers(filters) for comparison in read_comparisons(path)
    }
    return sorted(comparisons.values(), key=lambda comparison: comparison["started"])


def filter_runs(runs: list[ListedRun], filters: RunFilters) -> list[ListedRun]:
    """Return the runs that match the filters, in their order."""
    filter_values: dict[str, list[Any]] = {key: getattr(filters, key) for key in FILTER_KEYS}
    filter_values = {key: values for key, values in filter_values.items() if values}
    statuses = [status.value for status in filters.status]
    oldest = earliest_start(filters.since)
    return [
        run
        for run in runs
        if run.facts["started"] >= oldest
        and all(filter_value(run, key) in values for key, values in filter_values.items())
        and (not statuses or _status(run) in statuses)
    ]


def filter_value(run: ListedRun, key: str) -> Any:
    """Return a run's value for a filter; the experiment is part of the config."""
    return experiment_of(run.record or {}) if key == "experiment" else run.facts.get(key)


def experiment_of(record: Record) -> Any:
    """Return the published experiment of a run or a comparison; None if it has none."""
    return (record.get("config") or {}).get("experiment")


def _status(run: ListedRun) -> str | None:
    """Return a run's current status; only one without an end has to be parsed for it."""
    if run.facts["status"] != Status.running.value:
        return run.facts["status"]
    return run.record["status"] if run.record else None


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


def explain_no_match(runs: list[ListedRun], filters: RunFilters) -> str:
    """Explain why no run matches the filters, and what to do."""
    where = " ".join(str(path) for path in ledgers(filters))
    if not runs:
        return NO_RUNS.format(where)
    return "\n".join([f"none of the {len(runs)} runs in {where} matches", *unmatched_values(runs, filters)])


def unmatched_values(runs: list[ListedRun], filters: RunFilters) -> Iterator[str]:
    """Yield filter values that no run has, with the recorded values."""
    for key in FILTER_KEYS:
        recorded = sorted({str(filter_value(run, key)) for run in runs})
        for value in map(str, getattr(filters, key)):
            if value not in recorded:
                yield f"{key}={value}: no run has it{did_you_mean(value, recorded)} (recorded: {', '.join(recorded)})"
