"""run.json, which identifies a run, and differences between two configs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from kdrun.errors import ConfigError
from kdrun.storage import ledger_shapes
from kdrun.storage.json_reader import Rule, Shape, parse_object
from kdrun.storage.key_aliases import rename_run
from kdrun.storage.serialization import flatten

RECORD = "run.json"
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Ids are names: they are written into the ledger and shown in commands."""
REQUIRED = ("run_id", "command", "config?", "code?")
RECORD_SHAPE: dict[str, Shape] = {
    **{f"{key.removesuffix('?')}?": shape for key, shape in ledger_shapes.START.items() if key not in REQUIRED},
    "command": ledger_shapes.COMMAND,
    "run_id": Rule(
        "a name of letters, digits and . _ -", lambda value: isinstance(value, str) and RUN_ID.fullmatch(value)
    ),
    "config": dict,
    "code": str,
    "found?": dict,
}
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
        return rename_run(parse_object(path.read_bytes(), RECORD_SHAPE))
    except ValueError as error:
        raise ConfigError([f"{path} was not written by a run ({error}); start a new run in another run_dir"]) from None


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
