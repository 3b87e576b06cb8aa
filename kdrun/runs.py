"""`kdrun runs`: what was run, from the ledger. Its choice of runs is the tables' too. Nothing here imports torch."""

from __future__ import annotations

import json
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from kdrun.errors import ConfigError, DataError, nearest
from kdrun.results import LEDGER, read_comparisons, read_runs, without_parts
from kdrun.settings import setting
from kdrun.verbs import parse

Record = dict[str, Any]
"""A run, or a comparison, as the ledger has it."""
UNITS = {"m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
EMPTY = "no runs yet in {}; `kdrun method=kd task=sst2` makes one in about a minute"


class Status(Enum):
    """What became of a run."""

    running = "running"
    done = "done"
    failed = "failed"
    interrupted = "interrupted"
    crashed = "crashed"


class Format(Enum):
    """How the list is written."""

    terminal = "terminal"
    json = "json"


FILTERED = ("method", "task", "preset", "experiment", "seed")
"""Keys of the filters that a run has one value of."""


@dataclass
class Filters:
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


@dataclass
class Settings(Filters):
    """Words of `kdrun runs`."""

    last: int = setting(20, "only the newest so many; 0 shows all", ge=0)
    sweep: str | None = setting(None, "the cells of this sweep, also those that were not begun yet")
    format: Format = setting(Format.terminal, "how the list is written")


def ledgers(filters: Filters) -> list[Path]:
    """The ledger files that are read.

    Raises:
        ConfigError: a file that was named does not exist.
    """
    named = [Path(name) for name in filters.ledger]
    absent = [f"ledger={path}: there is no such file; name a ledger.jsonl" for path in named if not path.is_file()]
    if absent:
        raise ConfigError(absent)
    return named or [Path(filters.output_dir) / LEDGER]


def read(filters: Filters) -> list[Record]:
    """Every run of the ledgers, oldest first, with what became of it as `status`; one in two ledgers counts once.

    A run of one domain that is part of a run of all counts within that, unless `parts` asks for it.
    """
    found: dict[str, Record] = {}
    for path in ledgers(filters):
        for run in _well_formed(path, read_runs):
            if run["run_id"] not in found or run["status"] != "running":
                found[run["run_id"]] = {**run, "status": status_of(run).value}
    chosen = list(found.values()) if filters.parts else without_parts(list(found.values()))
    return sorted(chosen, key=lambda run: run["started"])


def comparisons(filters: Filters) -> list[Record]:
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


def status_of(run: Mapping[str, Any]) -> Status:
    """What became of a run: without an end line it is running, or crashed when its process is gone."""
    status = Status(run["status"])
    if status is not Status.running:
        return status
    since = run.get("resumed", run["started"])
    return Status.running if _is_alive(run.get("pid"), since) else Status.crashed


def _is_alive(pid: int | None, started: float) -> bool:
    """Whether the process is still there; one that began after the run merely has its number."""
    import psutil

    if pid is None:
        return False
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= started + 1
    except psutil.NoSuchProcess:
        return False


def choose(found: list[Record], filters: Filters) -> list[Record]:
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


def nothing(found: list[Record], filters: Filters) -> str:
    """Why no run was chosen, and what to do."""
    where = " ".join(str(path) for path in ledgers(filters))
    if not found:
        return EMPTY.format(where)
    return "\n".join([f"none of the {len(found)} runs in {where} fits", *unfit(found, filters)])


def unfit(found: list[Record], filters: Filters) -> Iterator[str]:
    """Filter values that no run has, with the values there are."""
    for key in FILTERED:
        known = sorted({str(value_of(run, key)) for run in found})
        for value in map(str, getattr(filters, key)):
            if value not in known:
                yield f"{key}={value}: no run has it{nearest(value, known)} (there are: {', '.join(known)})"


def headline(run: Mapping[str, Any], role: str = "student") -> float | None:
    """The headline score of a role, from -1 to 1; None where it is undefined or there is no such role."""
    metric, split = run["headline"]["metric"], run["headline"]["split"]
    return run[role]["metrics"][split][metric] if run.get(role) else None


def _row(run: Record) -> list[str]:
    score = kept = "n/a"
    if run["status"] == Status.done.value:
        value, share = headline(run), run.get("retention")
        score = f"{'n/a' if value is None else f'{value:.4f}'} {run['headline']['split']} {run['headline']['metric']}"
        kept = "n/a" if share is None else f"{100 * share:.1f} %"
    seconds = "n/a" if run.get("seconds") is None else f"{run['seconds']:.0f}"
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(run["started"]))
    task = run.get("data_name") or run["task"]
    facts = [when, run["method"], task, run["preset"], str(run["seed"]), run["status"], score, kept, seconds]
    return [*facts, run.get("run_dir", "n/a")]


COLUMNS = ("when", "method", "task", "preset", "seed", "status", "score", "kept", "seconds", "run folder")


def main(words: list[str]) -> int:
    """List the runs of a ledger, newest last.

    kdrun runs method=kd status=failed,crashed since=2d
    kdrun runs sweep=NAME
    """
    settings, _ = parse(Settings, words)
    if settings.sweep is not None:
        return _show_sweep(settings, words)
    found = read(settings)
    chosen = choose(found, settings)
    shown = chosen[-settings.last :] if settings.last else chosen
    left_out = len(chosen) - len(shown)
    if settings.format is Format.json:
        print(json.dumps(shown, indent=2))
    elif shown:
        _show(shown, [_row(run) for run in shown])
    else:
        print(nothing(found, settings))
    if left_out:
        more = "1 older run is" if left_out == 1 else f"{left_out} older runs are"
        print(f"{more} not shown; last=0 shows all", file=sys.stderr if settings.format is Format.json else sys.stdout)
    return 0


def _show_sweep(settings: Settings, words: list[str]) -> int:
    from kdrun import sweeps
    from kdrun.screen import Screen

    others = [word for word in words if not word.startswith(("sweep=", "output_dir=", "format="))]
    if others:
        raise ConfigError([f"{word}: sweep={settings.sweep} shows all of its cells; leave it out" for word in others])
    sweep = sweeps.named(Path(settings.output_dir), settings.sweep or "")
    found = sweeps.state_of(sweep)
    if settings.format is Format.json:
        print(json.dumps(found, indent=2))
    else:
        sweeps.show(sweep, found, Screen())
    return 0


def _show(shown: list[Record], rows: list[list[str]]) -> None:
    from kdrun.tables.render import Sheet, show

    counts = Counter(run["status"] for run in shown)
    title = f"runs: {', '.join(f'{count} {status}' for status, count in counts.items())}"
    notes = [
        f"{run['run_id']} failed: {(run.get('error') or 'n/a: no error was recorded').splitlines()[0]}"
        for run in shown
        if run["status"] == Status.failed.value
    ]
    show(Sheet(title, list(COLUMNS), rows, notes=notes, left=(0, 1, 2, 3, 5, 9)))
