"""What a run leaves behind: its folder, metrics.jsonl, result.json, predictions, and two lines of the ledger."""

from __future__ import annotations

import ast
import dataclasses
import json
import math
import os
import platform
import subprocess
import time
import uuid
from collections.abc import Iterable
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock

import kdrun
from kdrun.cache import digest
from kdrun.config import Config
from kdrun.errors import ConfigError

LEDGER = "ledger.jsonl"
NOT_IDENTITY = ("output_dir", "run_dir", "sweep", "dry_run", "debug", "experiment", "report", "tracker", "generated")
"""Config keys that do not change a run's scores, only what it leaves behind, so they are left out of its hash."""
READERS = ("cli", "verbs", "check", "compare", "verdict", "runs", "tables", "explain", "report", "screen", "trackers")
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


def config_hash(config: Config) -> str:
    """A hash of everything in a config that decides what the run computes, 16 hex digits."""
    return digest({k: v for k, v in plain(config).items() if k not in NOT_IDENTITY})[:16]


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
    """Append one JSON line under a lock, so that runs side by side never mix their lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(plain(record)) + "\n")


def read_runs(path: Path) -> list[dict[str, Any]]:
    """The runs of a ledger file, oldest first: each run's start line updated by its end line, if it has one.

    Returns:
        One record a run; `status` is `running` when there is no end line (running, or crashed).
    """
    runs: dict[str, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        record = json.loads(line)
        if record["event"] == "comparison":
            continue
        runs.setdefault(record["run_id"], {"status": "running"}).update(record)
    return list(runs.values())


def read_comparisons(path: Path) -> list[dict[str, Any]]:
    """The comparisons of a ledger file, oldest first; of one repeated, only the last."""
    found: dict[str, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        record = json.loads(line)
        if record["event"] == "comparison":
            found.pop(record["comparison_id"], None)
            found[record["comparison_id"]] = record
    return list(found.values())


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
    import torch
    import transformers

    commit, dirty = _git()
    return {
        "code": code_digest(),
        "git": commit,
        "dirty": dirty,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "config_hash": config_hash(config),
        "data_hash": data_hash,
        "command": command,
    }


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


class RunFolder:
    """The folder of one run and its two ledger lines.

    Args:
        config: of the run.
        group: `run_id` of the run that this one is a part of, if it is.

    Raises:
        ConfigError: `run_dir` names a folder that is not empty.
    """

    def __init__(self, config: Config, group: str | None = None) -> None:
        self.config, self.group = config, group
        now = time.strftime("%Y%m%d-%H%M%S")
        self.run_id = f"{now}-{uuid.uuid4().hex[:6]}"
        default = Path(config.output_dir) / config.method.name / config.task.name / self.run_id
        self.path = Path(config.run_dir) if config.run_dir else default
        self.ledger = Path(config.output_dir) / LEDGER
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise ConfigError([f"run_dir={self.path} is not an empty folder; name another or remove it"])
        self.started = time.perf_counter()

    def open(self, command: str) -> None:
        """Make the folder, write the resolved config and the ledger's first line."""
        from omegaconf import OmegaConf

        self.path.mkdir(parents=True, exist_ok=True)
        write_atomic(self.path / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(plain(self.config))))
        c = self.config
        append_line(
            self.ledger,
            {
                "event": "start",
                "run_id": self.run_id,
                "run_dir": str(self.path),
                "method": c.method.name,
                "task": c.task.name,
                "preset": c.preset,
                "seed": c.seed,
                "sweep": c.sweep,
                "group": self.group,
                "source": c.data.name,
                "config": plain(c),
                "config_hash": config_hash(c),
                "code": code_digest(),
                "command": command,
                "kdrun": kdrun.__version__,
                "started": time.time(),
                "pid": os.getpid(),
            },
        )

    def log(self, record: dict[str, Any]) -> None:
        """Append a line to metrics.jsonl (one writer, so no lock)."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(plain(record)) + "\n")

    def samples(self, rows: list[dict[str, Any]]) -> None:
        """Append to samples.jsonl."""
        with (self.path / "samples.jsonl").open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(plain(row), ensure_ascii=False) + "\n" for row in rows)

    def predictions(self, rows: Iterable[dict[str, Any]]) -> None:
        """Write predictions.jsonl."""
        write_atomic(self.path / "predictions.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    def close(self, status: str, result: dict[str, Any] | None = None, error: str | None = None) -> None:
        """Write result.json, if there is one, and the ledger's second line."""
        if result is not None:
            write_atomic(self.path / "result.json", json.dumps(plain(result), indent=2) + "\n")
        summary = {}
        if result is not None:
            keys = ("headline", "teacher", "student", "retention", "time", "steps", "checkpoint", "provenance")
            summary = {"data_name": result["data"]["name"], "synthetic": result["data"]["synthetic"]}
            summary |= {key: result[key] for key in keys}
        append_line(
            self.ledger,
            {
                "event": "end",
                "run_id": self.run_id,
                "status": status,
                "error": error,
                "seconds": round(time.perf_counter() - self.started, 2),
                **summary,
            },
        )
