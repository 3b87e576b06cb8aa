"""`kdrun runs`: list runs of the ledger."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from kdrun.config.fields import setting
from kdrun.config.options import parse_options
from kdrun.errors import ConfigError
from kdrun.formatting import NOT_MEASURED, number, percent
from kdrun.reporting.ledger_query import Record, RunFilters, explain_no_match, filter_runs, ledger_runs
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
    facts = [when, run["method"], task, run["preset"], str(run["seed"]), run["status"], score, retention]
    return [*facts, number(run.get("seconds"), 0), run.get("run_dir", NOT_MEASURED)]


COLUMNS = ("when", "method", "task", "preset", "seed", "status", "score", "retention", "time (s)", "run folder")


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
    listed = selected[-options.last :] if options.last else selected
    left_out = len(selected) - len(listed)
    if options.format is Format.json:
        print(json.dumps(listed, indent=2))
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
        f"{run['run_id']} failed: {(run.get('error') or 'n/a: no error was recorded').splitlines()[0]}"
        for run in runs
        if run["status"] == Status.failed.value
    ]
    print_table(TextTable(title, list(COLUMNS), rows, notes=notes, left=(0, 1, 2, 3, 5, 9)))
