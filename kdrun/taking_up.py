"""Runs that are there already: one with the same config, code and rows would give the same numbers if it were repeated.

Comparisons and sweeps take up what is finished and go on with what was stopped. Nothing here imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdrun import registry
from kdrun.cache import digest
from kdrun.config import Config
from kdrun.data import domains
from kdrun.results import LEDGER, Key, code_digest, config_hash, finished, plain, read_runs, without_parts
from kdrun.run_folder import read_record
from kdrun.runs import Status, status_of

BEST_FIRST = (Status.running, Status.interrupted, Status.crashed, Status.failed)
"""Of equal runs that are not finished, which one counts."""

_fingerprints: dict[str, str] = {}
"""What a config says of its rows → the fingerprint of the rows, of those that this process has read."""


@dataclass(frozen=True)
class There:
    """A run that is there.

    Attributes:
        status: what became of it.
        folder: where.
        error: why it ended, where it was not by itself.
    """

    status: Status
    folder: Path
    error: str | None = None


def find(output_dir: Path, key: Key) -> There | None:
    """The run of an output folder that stands for one of this key: a finished one, else the newest of the best kind."""
    runs = read_runs(output_dir / LEDGER)
    folder = finished(runs).get(key)
    if folder is not None:
        return There(Status.done, folder)
    found = [one for run in reversed(without_parts(runs)) if (one := _unfinished(run, key)) is not None]
    return min(found, key=lambda one: BEST_FIRST.index(one.status), default=None)


def _unfinished(run: dict[str, Any], key: Key) -> There | None:
    config, code, data = key
    if (run["config_hash"], run.get("code")) != (config, code) or run["status"] == Status.done.value:
        return None
    folder = Path(run["run_dir"])
    record = read_record(folder)
    if record is None or record["run_id"] != run["run_id"] or record.get("found", {}).get("data", data) != data:
        return None
    return There(status_of(run), folder, run.get("error"))


def rows_read(config: Config) -> str:
    """What of a config decides the rows that its run reads, as a hash."""
    thinned = domains.for_all(config.method) and config.data.train_fraction is not None
    domain = domains.ALL if thinned else domains.target(config.method)
    is_data_free = registry.get("method", config.method.name).target.needs.data_free
    return digest(plain([config.task, config.data, domain, is_data_free, config.corpus, config.ood]))


def key_of(config: Config) -> Key:
    """What a run must have in common with this one to stand for it; its rows are read, once a process."""
    from kdrun import task_rows

    read = rows_read(config)
    if read not in _fingerprints:
        _fingerprints[read] = task_rows.load(config).fingerprint
    return config_hash(config), code_digest(), _fingerprints[read]
