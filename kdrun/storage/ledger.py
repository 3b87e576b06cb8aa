"""Ledger of runs: their starts, ends and status."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, NotRequired, cast

from kdrun.errors import DataError
from kdrun.storage.key_aliases import rename_comparison, rename_run
from kdrun.storage.run_result import LedgerResult

LEDGER = "ledger.jsonl"


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
    runs: dict[str, dict[str, Any]] = {}
    for record in _records(path):
        if record["event"] == "comparison":
            continue
        runs.setdefault(record["run_id"], {"status": "running"}).update(record)
    return list(runs.values())


def read_comparisons(path: Path) -> list[dict[str, Any]]:
    """The comparisons of a ledger file, oldest first; only the last record of a repeated comparison."""
    comparisons: dict[str, dict[str, Any]] = {}
    for record in _records(path):
        if record["event"] == "comparison":
            comparisons.pop(record["comparison_id"], None)
            comparisons[record["comparison_id"]] = record
    return list(comparisons.values())


def _records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a ledger file with current config keys; none without a file.

    A last line without a newline is skipped: it is still being written, or its process crashed.

    Raises:
        DataError: a line is not a ledger record.
    """
    text = path.read_bytes() if path.exists() else b""
    complete, newline, _ = text.rpartition(b"\n")
    for number, line in enumerate((complete if newline else text).split(b"\n"), 1):
        if not line:
            continue
        try:
            record = json.loads(line)
            _ = record["comparison_id" if record["event"] == "comparison" else "run_id"]
        except (ValueError, KeyError, TypeError) as error:
            reason = f"line {number}: {type(error).__name__}: {error}"
            raise DataError(
                f"{path} is not a ledger ({reason}); each line must be a JSON object; fix or move the file"
            ) from None
        yield rename_comparison(record) if record["event"] == "comparison" else rename_run(record)


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
            provenance = run["provenance"]
            folders[provenance["config_hash"], provenance.get("code", ""), provenance["data_hash"]] = folder
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


def status_of(run: Mapping[str, Any]) -> Status:
    """The status of a run: without an end line, running while its process exists, else crashed."""
    status = Status(run["status"])
    if status is not Status.running:
        return status
    since = run.get("resumed", run["started"])
    return Status.running if _is_alive(run.get("pid"), since) else Status.crashed


def _is_alive(pid: int | None, started: float) -> bool:
    """Whether the run's process still exists. A process that started after the run merely reuses its id."""
    import psutil

    if pid is None:
        return False
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= started + 1
    except psutil.NoSuchProcess:
        return False
