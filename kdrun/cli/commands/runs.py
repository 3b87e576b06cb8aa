"""`kdrun runs`: list runs of the ledger."""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from kdrun.config.fields import setting
from kdrun.config.options import parse_options
from kdrun.errors import ConfigError
from kdrun.formatting import NOT_MEASURED, first_line, number, percent
from kdrun.reporting.ledger_query import Record, RunFilters, explain_no_match, filter_runs, ledger_runs, whole_records
from kdrun.storage.ledger import Status
from kdrun.storage.run_result import headline_score


class Format(Enum):
    """Output format of the list."""

    terminal = "terminal"
    json = "json"


@dataclass
class RunsOptions(RunFilters):
    """Options of `kdrun runs`."""

    last: int = setting(20, "show only this many of the newest runs; 0 shows all", ge=0)
    sweep: str | None = setting(None, "show the cells of this sweep, including cells not started yet")
    format: Format = setting(Format.terminal, "output format")


def _row(run: Record) -> list[str]:
    score = retention = NOT_MEASURED
    if run["status"] == Status.done.value:
        headline = run["headline"]
        score = f"{percent(headline_score(headline, run['student']))} {headline['split']} {headline['metric']}"
        retention = percent(run.get("retention"))
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(run["started"]))
    task = run.get("data_name") or run["task"]
    run_dir = run.get("run_dir", NOT_MEASURED)
    if os.path.isabs(run_dir) and Path(run_dir).is_relative_to(Path.cwd()):
        run_dir = os.path.relpath(run_dir)
    facts = [when, run["method"], task, run["preset"], str(run["seed"]), run["status"], score, retention]
    return [*facts, number(run.get("seconds"), 0), run_dir]


COLUMNS = ("when", "method", "task", "preset", "seed", "status", "score", "retention", "time (s)", "run folder")


DROPPED_FIRST = ("retention", "time (s)", "preset", "when", "task", "method")
"""Columns that a narrow terminal leaves out, in this order; a run's folder names its method and task too."""

OPTIONS = RunsOptions


def main(args: list[str]) -> int:
    """List the runs of a ledger, newest last.

    kdrun runs method=kd status=failed,crashed since=2d
    kdrun runs sweep=NAME
    """
    options, _ = parse_options(RunsOptions, args)
    if options.sweep is not None:
        return _print_cells(options, args)
    runs = ledger_runs(options)
    selected = filter_runs(runs, options)
    newest_first = whole_records(reversed(selected))
    listed = list(itertools.islice(newest_first, options.last or None))[::-1]
    newest_first.close()
    left_out = max(0, len(selected) - options.last) if options.last else 0
    if options.format is Format.json:
        print("[" + ",\n ".join(map(json.dumps, listed)) + "]")
    elif listed:
        _print_runs(listed, [_row(run) for run in listed])
    else:
        print(explain_no_match(runs, options))
    if left_out:
        more = "1 older run is" if left_out == 1 else f"{left_out} older runs are"
        print(f"{more} not shown; last=0 shows all", file=sys.stderr if options.format is Format.json else sys.stdout)
    return 0


def _print_cells(options: RunsOptions, args: list[str]) -> int:
    """Print the cells of a sweep."""
    from kdrun.console import Console
    from kdrun.experiments import sweeps
    from kdrun.experiments.sweep_display import print_sweep

    excluded = [arg for arg in args if not arg.startswith(("sweep=", "output_dir=", "format="))]
    if excluded:
        raise ConfigError(
            [f"{arg}: sweep={options.sweep} shows all cells of the sweep; leave it out" for arg in excluded]
        )
    sweep = sweeps.find_sweep(Path(options.output_dir), options.sweep or "")
    cells = sweeps.cell_statuses(sweep)
    if options.format is Format.json:
        print(json.dumps(cells, indent=2))
    else:
        print_sweep(sweep, cells, Console())
    return 0


def _print_runs(runs: list[Record], rows: list[list[str]]) -> None:
    from kdrun.reporting.tables.render import TextTable, print_table

    counts = Counter(run["status"] for run in runs)
    title = f"runs: {', '.join(f'{count} {status}' for status, count in counts.items())}"
    notes = [
        f"{run['run_id']} failed: {first_line(run.get('error'))}"
        for run in runs
        if run["status"] == Status.failed.value
    ]
    columns: list[str] = list(COLUMNS)
    left_out: list[str] = []
    if sys.stdout.isatty():
        parent = common_parent([row[-1] for row in rows])
        if parent and _columns_that_do_not_fit(rows):
            rows = [[*row[:-1], os.path.relpath(row[-1], parent)] for row in rows]
            notes.append(f"run folders are in {parent}")
        left_out = _columns_that_do_not_fit(rows)
    if left_out:
        rows = [[cell for name, cell in zip(COLUMNS, row, strict=True) if name not in left_out] for row in rows]
        columns = [name for name in COLUMNS if name not in left_out]
        notes.append(f"left out in this narrow terminal: {', '.join(left_out)} (format=json has everything)")
    left = [i for i, name in enumerate(columns) if name not in ("seed", "score", "retention", "time (s)")]
    print_table(TextTable(title, columns, rows, notes=notes, left=left))


def common_parent(paths: Sequence[str]) -> str:
    """The folder that holds all of these run folders; empty without one."""
    if not all(map(os.path.isabs, paths)):
        return ""
    parent = os.path.commonpath([os.path.dirname(path) for path in paths])
    return parent if parent != os.path.dirname(parent) else ""


def _columns_that_do_not_fit(rows: list[list[str]], width: int | None = None) -> list[str]:
    """Names of the columns without which the table fits the terminal, least important ones first."""
    from shutil import get_terminal_size

    width = get_terminal_size().columns if width is None else width
    cells = zip(COLUMNS, *rows, strict=True)
    widths = {column[0]: 2 + max(len(cell) for cell in column) for column in cells}
    left_out: list[str] = []
    for name in DROPPED_FIRST:
        if sum(size for column, size in widths.items() if column not in left_out) - 2 > width:
            left_out.append(name)
    return left_out
