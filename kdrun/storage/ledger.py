"""Ledger of runs: their starts, ends and status."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from kdrun.errors import DataError
from kdrun.storage.key_aliases import rename_comparison, rename_run

LEDGER = "ledger.jsonl"


def read_runs(path: Path) -> list[dict[str, Any]]:
    """The runs of a ledger file, oldest first: each run's start line updated by its end line, if it has one.

    Returns:
        One record a run; `status` is `running` when there is no end line (running, or crashed).
    """
    runs: dict[str, dict[str, Any]] = {}
    for record in _records(path):
        if record["event"] == "comparison":
            continue
        runs.setdefault(record["run_id"], {"status": "running"}).update(record)
    return list(runs.values())


def read_comparisons(path: Path) -> list[dict[str, Any]]:
    """The comparisons of a ledger file, oldest first; of one repeated, only the last."""
    found: dict[str, dict[str, Any]] = {}
    for record in _records(path):
        if record["event"] == "comparison":
            found.pop(record["comparison_id"], None)
            found[record["comparison_id"]] = record
    return list(found.values())


def _records(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a ledger file with the config keys of now; none where there is no file.

    A last line without an end is being written, or its writer died.

    Raises:
        DataError: a line is not what kdrun writes.
    """
    text = path.read_bytes() if path.exists() else b""
    whole, ended, _ = text.rpartition(b"\n")
    for number, line in enumerate((whole if ended else text).split(b"\n"), 1):
        if not line:
            continue
        try:
            record = json.loads(line)
            _ = record["comparison_id" if record["event"] == "comparison" else "run_id"]
        except (ValueError, KeyError, TypeError) as error:
            told = f"line {number}: {type(error).__name__}: {error}"
            raise DataError(f"{path} is not a ledger ({told}); each line is a JSON object; mend or move it") from None
        yield rename_comparison(record) if record["event"] == "comparison" else rename_run(record)


def top_level_runs(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Runs without those that are part of another run, which has their numbers too: one domain of all."""
    return [run for run in found if run.get("group") is None]


RunKey = tuple[str, str, str]
"""What must be equal for one run to stand for another: config hash, code, data."""


def finished(found: list[dict[str, Any]]) -> dict[RunKey, Path]:
    """The folders of finished runs whose predictions are still there; the newest of equals.

    Args:
        found: runs as `read_runs` gives them.
    """
    folders = {}
    for run in found:
        folder = Path(run["run_dir"])
        if run["status"] == "done" and (folder / "predictions.jsonl").exists():
            made = run["provenance"]
            folders[made["config_hash"], made.get("code", ""), made["data_hash"]] = folder
    return folders


def finished_subruns(found: list[dict[str, Any]]) -> dict[RunKey, Path]:
    """The folders of finished runs that are part of a run that was stopped or failed."""
    whole = {run["run_id"] for run in found if run["status"] == "done"}
    return finished([run for run in found if run.get("group") is not None and run["group"] not in whole])


class Status(Enum):
    """What became of a run."""

    running = "running"
    done = "done"
    failed = "failed"
    interrupted = "interrupted"
    crashed = "crashed"


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
