"""Ledger of runs: their starts, ends and status."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any, NotRequired, cast

from kdrun.storage.claims import is_held
from kdrun.storage.ledger_lines import scan
from kdrun.storage.processes import is_alive
from kdrun.storage.run_result import LedgerResult

LEDGER = "ledger.jsonl"
LOCK = ".lock"
"""Folder in a run's folder with the claim of the process that executes it."""


class FinishedRecord(LedgerResult):
    """Ledger record of a finished run: its start line with the result of its end line.

    Lines of older versions lack some keys, such as `checkpoint`, `steps` or `data_name`.
    """

    run_id: str  # unique name of the run
    started: float  # Unix time
    command: str  # command line
    method: str  # registered method
    task: str  # short name of the task
    preset: str  # preset of the config
    seed: int  # seed of the student
    config: NotRequired[dict[str, Any]]  # whole config; missing in older lines
    code: NotRequired[str]  # hash of the code; in older lines part of the provenance
    path_names: NotRequired[dict[str, str]]  # last names of folders, in published lines


def read_runs(path: Path) -> list[dict[str, Any]]:
    """The runs of a ledger file, oldest first: each run's start line, updated by its end line.

    Returns:
        One record per run; `status` is `running` without an end line (the run is active or crashed).
    """
    ledger = scan(path)
    return list(ledger.records(ledger.runs.values()))


def read_comparisons(path: Path) -> list[dict[str, Any]]:
    """The comparisons of a ledger file, oldest first; only the last record of a repeated comparison."""
    return list(scan(path).comparison_records())


def top_level_runs(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The runs that are not part of a run over all domains, which repeats the numbers of its parts."""
    return [run for run in runs if run.get("group") is None]


def finished_records(runs: list[dict[str, Any]]) -> list[FinishedRecord]:
    """The finished runs of a ledger, in their order.

    Args:
        runs: records from `read_runs`.
    """
    return [cast("FinishedRecord", run) for run in runs if run["status"] == Status.done.value]


RunKey = tuple[str, str, str]
"""Config hash, code hash and data hash; runs with equal keys have equal results."""


def finished(runs: list[dict[str, Any]]) -> dict[RunKey, Path]:
    """The folders of finished runs that still have their predictions; per key, the newest.

    Args:
        runs: records from `read_runs`.
    """
    folders = {}
    for run in runs:
        folder = Path(run["run_dir"])
        if run["status"] == "done" and (folder / "predictions.jsonl").exists():
            provenance = run.get("provenance") or {}
            folders[tuple(provenance.get(key) or "" for key in ("config_hash", "code", "data_hash"))] = folder
    return folders


def finished_subruns(runs: list[dict[str, Any]]) -> dict[RunKey, Path]:
    """The folders of finished runs that are part of an unfinished run."""
    finished_ids = {run["run_id"] for run in runs if run["status"] == "done"}
    return finished([run for run in runs if run.get("group") is not None and run["group"] not in finished_ids])


class Status(Enum):
    """Status of a run."""

    running = "running"
    done = "done"
    failed = "failed"
    interrupted = "interrupted"
    crashed = "crashed"


def status_of(run: dict[str, Any]) -> Status:
    """The status of a run: without an end line, running while its process exists, else crashed.

    A process on another machine exists as long as its claim on the run's folder has signs of life.
    """
    status = Status(run["status"])
    if status is not Status.running:
        return status
    folder = run.get("run_dir")  # missing in records of older versions
    is_held_elsewhere = folder is not None and is_held(Path(folder) / LOCK)
    return Status.running if is_alive(run) or is_held_elsewhere else Status.crashed
