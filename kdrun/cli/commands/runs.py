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
from kdrun.reporting.ledger_query import Record, RunFilters, explain_no_match, filter_runs, headline, read
from kdrun.storage.ledger import Status


class Format(Enum):
    """How the list is written."""

    terminal = "terminal"
    json = "json"


@dataclass
class RunsOptions(RunFilters):
    """Words of `kdrun runs`."""

    last: int = setting(20, "only the newest so many; 0 shows all", ge=0)
    sweep: str | None = setting(None, "the cells of this sweep, also those that were not begun yet")
    format: Format = setting(Format.terminal, "how the list is written")


def _row(run: Record) -> list[str]:
    score = retention = NOT_MEASURED
    if run["status"] == Status.done.value:
        score = f"{number(headline(run))} {run['headline']['split']} {run['headline']['metric']}"
        retention = percent(run.get("retention"))
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(run["started"]))
    task = run.get("data_name") or run["task"]
    facts = [when, run["method"], task, run["preset"], str(run["seed"]), run["status"], score, retention]
    return [*facts, number(run.get("seconds"), 0), run.get("run_dir", NOT_MEASURED)]


COLUMNS = ("when", "method", "task", "preset", "seed", "status", "score", "kept", "seconds", "run folder")


OPTIONS = RunsOptions


def main(words: list[str]) -> int:
    """List the runs of a ledger, newest last.

    kdrun runs method=kd status=failed,crashed since=2d
    kdrun runs sweep=NAME
    """
    settings, _ = parse_options(RunsOptions, words)
    if settings.sweep is not None:
        return _show_sweep(settings, words)
    found = read(settings)
    chosen = filter_runs(found, settings)
    shown = chosen[-settings.last :] if settings.last else chosen
    left_out = len(chosen) - len(shown)
    if settings.format is Format.json:
        print(json.dumps(shown, indent=2))
    elif shown:
        _show(shown, [_row(run) for run in shown])
    else:
        print(explain_no_match(found, settings))
    if left_out:
        more = "1 older run is" if left_out == 1 else f"{left_out} older runs are"
        print(f"{more} not shown; last=0 shows all", file=sys.stderr if settings.format is Format.json else sys.stdout)
    return 0


def _show_sweep(settings: RunsOptions, words: list[str]) -> int:
    from kdrun.console import Console
    from kdrun.experiments import sweeps

    others = [word for word in words if not word.startswith(("sweep=", "output_dir=", "format="))]
    if others:
        raise ConfigError([f"{word}: sweep={settings.sweep} shows all of its cells; leave it out" for word in others])
    sweep = sweeps.find_sweep(Path(settings.output_dir), settings.sweep or "")
    found = sweeps.cell_statuses(sweep)
    if settings.format is Format.json:
        print(json.dumps(found, indent=2))
    else:
        sweeps.print_sweep(sweep, found, Console())
    return 0


def _show(shown: list[Record], rows: list[list[str]]) -> None:
    from kdrun.reporting.tables.render import TextTable, show

    counts = Counter(run["status"] for run in shown)
    title = f"runs: {', '.join(f'{count} {status}' for status, count in counts.items())}"
    notes = [
        f"{run['run_id']} failed: {(run.get('error') or 'n/a: no error was recorded').splitlines()[0]}"
        for run in shown
        if run["status"] == Status.failed.value
    ]
    show(TextTable(title, list(COLUMNS), rows, notes=notes, left=(0, 1, 2, 3, 5, 9)))
