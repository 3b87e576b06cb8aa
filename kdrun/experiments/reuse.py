"""Find earlier runs with equal config, code and data.

Comparisons and sweeps reuse finished runs and resume stopped ones. This module imports without torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdrun import registry
from kdrun.config import domains
from kdrun.config.identity import config_hash
from kdrun.config.schema import RunConfig
from kdrun.runs.provenance import code_digest
from kdrun.storage.hashing import digest
from kdrun.storage.ledger import LEDGER, RunKey, Status, finished, read_runs, status_of, top_level_runs
from kdrun.storage.run_record import read_record
from kdrun.storage.serialization import to_plain

BEST_FIRST = (Status.running, Status.interrupted, Status.crashed, Status.failed)
"""Statuses of unfinished runs with the same key, the preferred one first."""

_fingerprints: dict[str, str] = {}
"""`data_identity` → fingerprint of the rows, for rows that this process has read."""


@dataclass(frozen=True)
class ExistingRun:
    """An earlier run with the same key.

    Attributes:
        status: its status.
        folder: its folder.
        error: why it failed or stopped.
    """

    status: Status
    folder: Path
    error: str | None = None


def find_run(output_dir: Path, key: RunKey) -> ExistingRun | None:
    """Find the run with this key in an output folder: a finished one, else the newest one of the best status."""
    runs = read_runs(output_dir / LEDGER)
    folder = finished(runs).get(key)
    if folder is not None:
        return ExistingRun(Status.done, folder)
    unfinished = [match for run in reversed(top_level_runs(runs)) if (match := _unfinished(run, key)) is not None]
    return min(unfinished, key=lambda match: BEST_FIRST.index(match.status), default=None)


def _unfinished(run: dict[str, Any], key: RunKey) -> ExistingRun | None:
    """The unfinished run of a ledger record if it has this key; else None."""
    config, code, data = key
    if (run.get("config_hash"), run.get("code")) != (config, code) or run["status"] == Status.done.value:
        return None
    folder = Path(run["run_dir"])
    record = read_record(folder)
    if record is None or record["run_id"] != run["run_id"] or record.get("found", {}).get("data", data) != data:
        return None
    return ExistingRun(status_of(run), folder, run.get("error"))


def data_identity(config: RunConfig) -> str:
    """Hash of the part of a config that decides which rows its run reads."""
    # with a fraction, a per-domain run reads other rows than a run on all rows
    is_subset = domains.is_per_domain(config.method) and config.data.train_fraction is not None
    domain = domains.ALL if is_subset else domains.target_domain(config.method)
    needs = registry.get("method", config.method.name).target.requires
    rows = [config.evaluation.held_out_seed, config.teacher.train_rows if needs.teacher else None]
    return digest(to_plain([config.task, config.data, domain, needs.data_free, config.corpus, config.ood, rows]))


def run_key(config: RunConfig) -> RunKey:
    """The key of equal runs: config, code and data. The rows are read once per process."""
    from kdrun.data import run_data

    identity = data_identity(config)
    if identity not in _fingerprints:
        _fingerprints[identity] = run_data.load_run_data(config).fingerprint
    return config_hash(config), code_digest(), _fingerprints[identity]
