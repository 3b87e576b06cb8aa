"""run.json, which identifies a run, and differences between two configs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from kdrun.errors import ConfigError
from kdrun.storage.key_aliases import rename_run
from kdrun.storage.serialization import flatten

RECORD = "run.json"
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Ids are names: they are written into the ledger and shown in commands."""
MAX_DIFFERENCES = 8
"""Largest number of differences in a message; configs of two methods differ in dozens of keys."""


def read_record(folder: Path) -> dict[str, Any] | None:
    """Content of `run.json` with current config keys; None if the folder has none.

    Raises:
        ConfigError: the file was not written by a run.
    """
    path = folder / RECORD
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        types = {"run_id": str, "command": str, "config": dict, "code": str}
        invalid = [key for key, value_type in types.items() if not isinstance(record[key], value_type)]
        problem = f"invalid type of {', '.join(invalid)}" if invalid else None
        if problem is None and not RUN_ID.fullmatch(record["run_id"]):
            problem = f"invalid run_id {record['run_id']!r}"
    except (ValueError, KeyError, TypeError) as error:
        record, problem = None, f"{type(error).__name__}: {error}"
    if problem is not None:
        raise ConfigError([f"{path} was not written by a run ({problem}); start a new run in another run_dir"])
    return None if record is None else rename_run(record)


def config_differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Differences of nested values, as sentences `key was …, now …`; keys that only one side has come last."""
    old, new = flatten(before), flatten(now)
    changed = [f"{key} was {old[key]}, now {new[key]}" for key in old if key in new and old[key] != new[key]]
    removed = [f"{key} was {old[key]}, now missing" for key in old if key not in new]
    return [*changed, *removed, *(f"{key} was missing, now {new[key]}" for key in new if key not in old)]


def code_difference(before: str, now: str) -> list[str]:
    """The difference of two code hashes, as a sentence; empty if they are equal."""
    return [] if before == now else [f"the code of kdrun has changed: hash was {before}, now {now}"]


def shorten(differences: list[str]) -> list[str]:
    """The first `MAX_DIFFERENCES` differences, and the total number if there are more."""
    if len(differences) <= MAX_DIFFERENCES:
        return differences
    return [*differences[:MAX_DIFFERENCES], f"… and {len(differences) - MAX_DIFFERENCES} more"]
