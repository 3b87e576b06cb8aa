"""Facts about a run read from its ledger line."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from kdrun.config.identity import NON_IDENTITY_KEYS
from kdrun.reporting.tables.grouping import Entry
from kdrun.storage.serialization import flatten

AXES = ("method", "task", "preset", "seed")
"""Words that every record has a key for."""
CHOOSERS = ("student", "teacher", "data", "student.path", "teacher.path")
"""Words that choose what the record names more exactly; they count, but need no naming."""
SPEED = ("runtime.threads", "runtime.log_every", "runtime.eval_batch_size")
"""Settings that change how fast a run is and what it logs, not what it computes beyond rounding."""
FOLDER_OF_DATA = "data.dir"
"""Where the rows lie; which rows they are is told by their hash."""


def run_entry(run: dict[str, Any], metric: str, split: str) -> Entry:
    """The facts of a finished run, to be scored by a metric on a split."""
    origin, config = run.get("provenance") or {}, run.get("config")
    words = typed_overrides(run["command"])
    settings = config_as_text(config) if config is not None else words
    recorded: dict[str, str | None] = {
        "method": run["method"],
        "task": task_name(run),
        "preset": run["preset"],
        "student": run["student"]["name"],
        "teacher": run["teacher"]["name"] if run["teacher"] else "none",
        "data": (origin.get("data_hash") or "")[:8] or None,
        "metric": metric,
        "split": split,
        "checkpoint": _checkpoint(run),
        "code": code(run),
        "torch": origin.get("torch"),
        "transformers": origin.get("transformers"),
        "settings from": "the command" if config is None else "the config",
    }
    hidden = (*AXES, *SPEED)
    hidden += (FOLDER_OF_DATA,) if recorded["data"] else ()
    hidden += ("experiment",) if config is not None else ()
    settings = _compared(run, settings, hidden)
    words = _compared(run, words, (*hidden, *CHOOSERS))
    if run.get("steps"):
        settings["steps"] = ", ".join(f"{role} {count}" for role, count in run["steps"].items())
    return Entry(run, recorded, words, settings)


def _compared(run: Mapping[str, Any], settings: Mapping[str, str], hidden: tuple[str, ...]) -> dict[str, str]:
    kept = {key: value for key, value in settings.items() if key not in hidden and not of_the_place(key)}
    return {key: last_name(run, key, value) for key, value in kept.items()}


def of_the_place(key: str) -> bool:
    """Whether a setting says where a run went or who watched it; an experiment's name stands for settings."""
    return key != "experiment" and key.partition(".")[0] in NON_IDENTITY_KEYS


def beyond_axes(command: str) -> str:
    """The settings of a command beyond what a table has a column for."""
    words = _compared({}, typed_overrides(command), (*AXES, *SPEED, *CHOOSERS, FOLDER_OF_DATA))
    return " ".join(f"{key}={value}" for key, value in words.items())


def task_name(run: Mapping[str, Any]) -> str:
    """The task as results call it; synthetic data is named so."""
    name = run.get("data_name") or run["task"]
    return f"{name} (synthetic)" if run.get("synthetic") and "synthetic" not in name else name


def code(run: Mapping[str, Any]) -> str | None:
    """What version of kdrun computed a run: a hash of its sources, of older runs the commit."""
    origin = run.get("provenance") or {}
    sources = origin.get("code") or run.get("code")
    if sources:
        return sources[:8]
    return f"{origin['git'][:8]}{'+changes' if origin.get('dirty') else ''}" if origin.get("git") else None


def typed_overrides(command: str) -> dict[str, str]:
    """The `key=value` words of a command."""
    pairs = (word.lstrip("+").partition("=") for word in shlex.split(command)[1:])
    return {key: as_text(_value(value)) for key, mark, value in pairs if mark}


def _value(text: str) -> Any:
    """What a word says, so that `4.0` and `4`, `True` and `true` are the same."""
    try:
        return json.loads(text.lower())
    except ValueError:
        return text


def as_text(value: Any) -> str:
    """A plain value as it is compared and shown."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value if isinstance(value, str) else json.dumps(value)


def config_as_text(config: Mapping[str, Any]) -> dict[str, str]:
    """Return a nested config as dotted keys, with the values as text."""
    return {key: as_text(value) for key, value in flatten(config).items()}


def is_folder(key: str, value: str) -> bool:
    """Whether a setting is a place on one machine: by its key, or because the value is written as a path."""
    by_key = key.rpartition(".")[2] in ("dir", "path", "run_dir", "output_dir") and not key.startswith("task.")
    return value not in ("null", "") and (by_key or re.match(r"[~/]|\.\.?/", value) is not None)


def last_name(run: Mapping[str, Any], key: str, value: str) -> str:
    """A setting as it is compared: of a folder its last name; a published run has it under `path_names`."""
    if not is_folder(key, value):
        return value
    return (run.get("path_names") or {}).get(key) or PurePath(value).name


def _checkpoint(run: Mapping[str, Any]) -> str | None:
    chosen = run.get("checkpoint")
    if not chosen:
        return None
    return f"{chosen['selected']} on {chosen['split']}" if chosen["split"] else chosen["selected"]
