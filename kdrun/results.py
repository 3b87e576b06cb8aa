"""What every run says of itself as data: its identity, its provenance, its lines of the ledger, and reading those."""

from __future__ import annotations

import ast
import dataclasses
import json
import math
import os
import platform
import subprocess
from collections.abc import Iterator
from enum import Enum
from functools import cache
from io import FileIO
from pathlib import Path
from typing import Any

from filelock import FileLock

from kdrun.cache import digest
from kdrun.config import Config
from kdrun.errors import DataError

LEDGER = "ledger.jsonl"
NOT_IDENTITY = (
    "output_dir", "run_dir", "sweep", "retry", "dry_run", "debug", "experiment", "report", "tracker", "checkpoint",
    "generated", "offline",
)  # fmt: skip
"""Config keys that do not change a run's scores, only what it leaves behind, so they are left out of its hash."""
READERS = (
    "cli", "verbs", "check", "compare", "sweeps", "taking_up", "verdict", "runs", "tables", "explain", "report",
    "screen", "trackers",
)  # fmt: skip
"""Modules that read results or talk to people; a change in them changes no number of a run."""


def plain(value: Any) -> Any:
    """Dataclasses and enums as plain data for JSON and YAML; NaN and infinities as None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def identity(config: Any) -> dict[str, Any]:
    """Everything in a config, or in one as plain data, that decides what the run computes."""
    return {key: value for key, value in plain(config).items() if key not in NOT_IDENTITY}


def config_hash(config: Config) -> str:
    """A hash of a config's identity, 16 hex digits."""
    return digest(identity(config))[:16]


def flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested values as `a.b.c` → value; lists and nulls as text, as trackers take neither."""
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, dict):
            found += flat(value, f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", value if isinstance(value, bool | int | float | str) else str(value)))
    return found


@cache
def code_digest() -> str:
    """A hash of the code that decides what a run computes, 16 hex digits: all of kdrun but the `READERS`.

    Comments, docstrings and layout do not count, so that explaining code better does not make its results old.
    """
    here = Path(__file__).resolve().parent
    sources = {path.relative_to(here): path for path in sorted(here.rglob("*.py"))}
    computing = {name: path for name, path in sources.items() if name.parts[0].removesuffix(".py") not in READERS}
    return digest({name.as_posix(): _bare_code(path.read_text("utf-8")) for name, path in computing.items()})[:16]


def _bare_code(source: str) -> str:
    """A module's syntax tree without docstrings, as text."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [item for item in body if not (isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant))]
            node.body = kept  # pyright: ignore[reportAttributeAccessIssue]
    return ast.dump(tree)


def write_atomic(path: Path, text: str) -> None:
    """Write a file whole or not at all: a temporary file beside it, synced, then renamed."""
    work = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        with work.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        work.replace(path)
    finally:
        work.unlink(missing_ok=True)


def append_line(path: Path, record: dict[str, Any]) -> None:
    """Append one JSON line under a lock, so that runs side by side never mix their lines.

    A line that cannot be written whole, as on a full disk, is cut off again; so is one of a process that died.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    line = (json.dumps(plain(record)) + "\n").encode()
    with FileLock(f"{path}.lock"), path.open("a+b", buffering=0) as file:
        size = _whole_lines(file)
        file.truncate(size)
        written = 0
        try:
            while written < len(line):
                written += file.write(line[written:])
        except OSError:
            file.truncate(size)
            raise


def _whole_lines(file: FileIO) -> int:
    """Bytes of a file up to the end of its last whole line."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - 65536)
        file.seek(start)
        place = file.read(end - start).rfind(b"\n")
        if place >= 0:
            return start + place + 1
        end = start
    return 0


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
    """The lines of a ledger file; none where there is no file.

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
        yield record


def read_ledger(output_dir: Path, sweep: str | None = None) -> list[dict[str, Any]]:
    """The runs of an output folder, or those of one sweep; those of single domains count within their whole."""
    found = without_parts(read_runs(output_dir / LEDGER))
    return [run for run in found if sweep is None or run.get("sweep") == sweep]


def without_parts(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Runs without those that are part of another run, which has their numbers too: one domain of all."""
    return [run for run in found if run.get("group") is None]


Key = tuple[str, str, str]
"""What must be equal for one run to stand for another: config hash, code, data."""


def finished(found: list[dict[str, Any]]) -> dict[Key, Path]:
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


def finished_parts(found: list[dict[str, Any]]) -> dict[Key, Path]:
    """The folders of finished runs that are part of a run that was stopped or failed."""
    whole = {run["run_id"] for run in found if run["status"] == "done"}
    return finished([run for run in found if run.get("group") is not None and run["group"] not in whole])


def provenance(config: Config, data_hash: str | None, command: str) -> dict[str, Any]:
    """Code, versions, machine-independent hashes and the command: what it takes to repeat a run."""
    commit, dirty = _git()
    return {
        "code": code_digest(),
        "git": commit,
        "dirty": dirty,
        "python": platform.python_version(),
        **versions(),
        "config_hash": config_hash(config),
        "data_hash": data_hash,
        "command": command,
    }


def versions() -> dict[str, str]:
    """Of the libraries that compute."""
    import torch
    import transformers

    return {"torch": torch.__version__, "transformers": transformers.__version__}


def _git() -> tuple[str | None, bool | None]:
    """Commit of kdrun's own source and whether it has changes; (None, None) when installed without git."""
    here = Path(__file__).resolve().parent
    if not (here.parent / ".git").exists():
        return None, None

    def ask(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here.parent), *words], capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()

    try:
        return ask("rev-parse", "HEAD"), bool(ask("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None, None
