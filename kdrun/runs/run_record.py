"""run.json: what a run folder belongs to, and how two configs differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kdrun.errors import ConfigError
from kdrun.storage.key_aliases import rename_run
from kdrun.storage.serialization import flatten

RECORD = "run.json"


MOST_SHOWN = 8
"""Differences; another method has dozens of other keys."""


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
        kinds = {"run_id": str, "command": str, "config": dict, "code": str}
        strange = [key for key, kind in kinds.items() if not isinstance(record[key], kind)]
        wrong = f"{', '.join(strange)} should be another kind of value" if strange else None
    except (ValueError, KeyError, TypeError) as error:
        record, wrong = None, f"{type(error).__name__}: {error}"
    if wrong is not None:
        raise ConfigError([f"{path} is not what a run wrote ({wrong}); start a new run in another run_dir"])
    return None if record is None else rename_run(record)


def config_differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Differences of nested values, as sentences `key was …, is …`; keys of one side alone come last."""
    old, new = flatten(before), flatten(now)
    both = [f"{key} was {old[key]}, is {new[key]}" for key in old if key in new and old[key] != new[key]]
    gone = [f"{key} was {old[key]}, is not there" for key in old if key not in new]
    return [*both, *gone, *(f"{key} was not there, is {new[key]}" for key in new if key not in old)]
