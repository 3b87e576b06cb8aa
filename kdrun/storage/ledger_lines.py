"""Read the lines of a ledger only as far as needed.

A ledger grows by every run of an output folder, and most of a line is the config. The scan keeps the few facts by which
runs are listed and filtered; a whole record is parsed when it is used. Lines that are not records are skipped and
logged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from kdrun.errors import DataError
from kdrun.storage import json_reader
from kdrun.storage.files import log_skipped
from kdrun.storage.json_reader import Shape, is_finite
from kdrun.storage.key_aliases import rename_comparison, rename_run
from kdrun.storage.ledger_shapes import COMPARISON, END, FINISHED, RESUME, START, STATUSES, pair_problem
from kdrun.storage.run_result import score_problem

SHAPES: dict[str, dict[str, Shape]] = {
    "start": START,
    "resume": RESUME,
    "end": END,
    "run": START | END,
    "comparison": COMPARISON,
}
"""Event of a line → its shape; `run` is the whole record of a run, in published ledgers."""
BEGINNINGS = ("start", "run")
END_LINE = re.compile(rb'\{"event": "end", "run_id": "([^"\\]+)", "status": "(%s)"' % "|".join(STATUSES).encode())
START_LINE = re.compile(rb'\{"event": "start", ')
CONFIG, AFTER_CONFIG = b', "config": {', b', "config_hash": '
"""Ends of a start line's facts before and after the config."""

Span = tuple[int, int]
"""Number of a line and the place of its first byte in the file."""


@dataclass
class RunLines:
    """The lines of one run.

    Attributes:
        facts: facts of the run that the scan has read: all of a start line but the config, and the status.
        spans: its lines, oldest first.
    """

    facts: dict[str, Any]
    spans: list[Span]


@dataclass
class LedgerLines:
    """The lines of a ledger file.

    Attributes:
        path: the file.
        runs: by `run_id`, oldest first.
        comparisons: lines of comparisons, oldest first.
    """

    path: Path
    runs: dict[str, RunLines] = field(default_factory=dict)
    comparisons: list[Span] = field(default_factory=list)

    def records(self, runs: Iterable[RunLines]) -> Iterator[dict[str, Any]]:
        """Yield the whole records of runs with current config keys; a run whose start is unreadable is left out."""
        for record in self._records(run.spans for run in runs):
            if "started" in record:
                yield rename_run(record)

    def comparison_records(self) -> Iterator[dict[str, Any]]:
        """Yield the comparisons with current config keys, oldest first; of a repeated one the last record."""
        records: dict[str, dict[str, Any]] = {}
        for record in self._records([span] for span in self.comparisons):
            if record:
                records.pop(record["comparison_id"], None)
                records[record["comparison_id"]] = record
        yield from map(rename_comparison, records.values())

    def _records(self, groups: Iterable[list[Span]]) -> Iterator[dict[str, Any]]:
        """Yield the lines of each group, merged into one record; unreadable lines are logged."""
        problems: list[tuple[int, str]] = []
        file: BinaryIO | None = None
        try:
            for spans in groups:
                file = file or self.path.open("rb")
                record: dict[str, Any] = {}
                for number, place in spans:
                    file.seek(place)
                    try:
                        line = _parse(file.readline())
                    except ValueError as error:
                        problems.append((number, str(error)))
                    else:
                        # a run without an end is running; a comparison is written when it has ended
                        is_run_start = not record and line.get("event") != "comparison"
                        record |= {"status": "running"} | line if is_run_start else line
                yield record
        finally:
            if file is not None:
                file.close()
            log_skipped(self.path, problems)


def scan(path: Path) -> LedgerLines:
    """Scan a ledger file; a missing file has no lines.

    A last line without a newline is skipped: it is still being written, or its process crashed.

    Raises:
        DataError: no line is a record.
    """
    ledger = LedgerLines(path)
    problems: list[tuple[int, str]] = []
    for number, place, line in _lines(path):
        try:
            facts = _facts(line)
            if facts["event"] == "comparison":
                ledger.comparisons.append((number, place))
                continue
            run = ledger.runs.get(facts["run_id"])
            if run is None and facts["event"] not in BEGINNINGS:
                raise ValueError(f"the run {facts['run_id']} has no start line")
        except ValueError as error:
            problems.append((number, str(error)))
            continue
        if run is None:
            run = ledger.runs[facts["run_id"]] = RunLines({"status": "running"}, [])
        run.facts |= facts
        run.spans.append((number, place))
    if problems and not (ledger.runs or ledger.comparisons):
        number, reason = problems[0]
        raise DataError(f"{path} is not a ledger (line {number}: {reason}); each line must be a JSON object")
    log_skipped(path, problems)
    return ledger


def _lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Yield number, place and content of each line that is not empty."""
    if not path.exists():
        return
    place = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip() and (line.endswith(b"\n") or number == 1):
                yield number, place, line
            place += len(line)


def _facts(line: bytes) -> dict[str, Any]:
    """Event, id and facts of a line, without its config.

    Raises:
        ValueError: the line is not a record; it may still be found not to be one when it is parsed.
    """
    end = END_LINE.match(line)
    if end:
        return {"event": "end", "run_id": end[1].decode(), "status": end[2].decode()}
    facts = _without_config(line) if START_LINE.match(line) else None
    if facts is None:
        facts = _parse(line)
    valid = isinstance(facts.get("run_id"), str) and is_finite(facts.get("started")) and "status" not in facts
    return facts if valid else _parse(line)


def _without_config(line: bytes) -> dict[str, Any] | None:
    """The facts of a start line in the order that kdrun writes; None for another line."""
    config, after = line.find(CONFIG), line.rfind(AFTER_CONFIG)
    if not 0 < config < after:
        return None
    try:
        return json.loads(line[:config] + line[after:])
    except (ValueError, RecursionError):
        return None


def _parse(line: bytes) -> dict[str, Any]:
    """A whole line as a record.

    Raises:
        ValueError: the line is not a record of any event.
    """
    record = json_reader.parse_object(line, {"event": str})
    shape = SHAPES.get(record["event"])
    if shape is None:
        raise ValueError(f"event is {record['event']!r:.60}; expected one of {', '.join(SHAPES)}")
    if record.get("status") == "done" and record["event"] in ("end", "run"):
        shape = shape | FINISHED
    json_reader.check_shape(record, shape)
    problem = None
    if record["event"] == "comparison":
        problem = pair_problem(record)
    elif "headline" in shape:
        problem = score_problem(record)
    if problem is not None:
        raise ValueError(problem)
    return record
