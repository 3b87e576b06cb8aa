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
from kdrun.storage.ledger import FinishedRecord
from kdrun.storage.serialization import flatten

AXES = ("method", "task", "preset", "seed")
"""Settings that every record has a key for."""
CHOICES = ("student", "teacher", "data", "student.path", "teacher.path")
"""Choices that the record names more precisely, so differences are not named by them."""
SPEED = ("runtime.threads", "runtime.log_every", "runtime.eval_batch_size")
"""Settings that change speed and logging, not results beyond rounding."""
DATA_PATHS = ("data.dir", "data.train", "data.dev", "data.test", "data.unlabelled")
"""Folder or files of the rows, which are identified by their hash instead."""


def run_entry(run: FinishedRecord, metric: str, split: str) -> Entry:
    """Collect the facts of a finished run for a metric on a split."""
    provenance, config = run.get("provenance") or {}, run.get("config")
    overrides = typed_overrides(run["command"])
    settings = config_as_text(config) if config is not None else overrides
    recorded: dict[str, str | None] = {
        "method": run["method"],
        "task": task_name(run),
        "preset": run["preset"],
        "student": run["student"]["name"],
        "teacher": run["teacher"]["name"] if run["teacher"] else "none",
        "data": (provenance.get("data_hash") or "")[:8] or None,
        "metric": metric,
        "split": split,
        "checkpoint": _checkpoint(run),
        "code": code_version(run),
        "torch": provenance.get("torch"),
        "transformers": provenance.get("transformers"),
        "settings from": "the command" if config is None else "the config",
    }
    hidden = (*AXES, *SPEED)
    hidden += DATA_PATHS if recorded["data"] else ()
    hidden += ("experiment",) if config is not None else ()
    settings = _compared(run, settings, hidden)
    overrides = _compared(run, overrides, (*hidden, *CHOICES))
    if run.get("steps"):
        settings["steps"] = ", ".join(f"{role} {count}" for role, count in run["steps"].items())
    return Entry(run, recorded, overrides, settings)


def _compared(run: Mapping[str, Any], settings: Mapping[str, str], hidden: tuple[str, ...]) -> dict[str, str]:
    compared = {key: value for key, value in settings.items() if key not in hidden and not is_non_identity(key)}
    return {key: compared_value(run, key, value) for key, value in compared.items()}


def is_non_identity(key: str) -> bool:
    """Return whether a setting only decides where a run writes or logs; `experiment` is not such a setting."""
    return key != "experiment" and key.partition(".")[0] in NON_IDENTITY_KEYS


def other_settings(command: str) -> str:
    """Return the settings of a command that have no column in a table."""
    overrides = _compared({}, typed_overrides(command), (*AXES, *SPEED, *CHOICES, *DATA_PATHS))
    return " ".join(f"{key}={value}" for key, value in overrides.items())


def task_name(run: Mapping[str, Any]) -> str:
    """Return the display name of the task, marked if the data is synthetic."""
    name = run.get("data_name") or run["task"]
    return f"{name} (synthetic)" if run.get("synthetic") and "synthetic" not in name else name


def code_version(run: Mapping[str, Any]) -> str | None:
    """Return the version of kdrun that computed a run: hash of its sources, for older runs the commit."""
    provenance = run.get("provenance") or {}
    sources = provenance.get("code") or run.get("code")
    if sources:
        return sources[:8]
    return f"{provenance['git'][:8]}{'+changes' if provenance.get('dirty') else ''}" if provenance.get("git") else None


def typed_overrides(command: str) -> dict[str, str]:
    """Return the `key=value` overrides of a command."""
    pairs = (arg.lstrip("+").partition("=") for arg in shlex.split(command)[1:])
    return {key: as_text(_value(value)) for key, separator, value in pairs if separator}


def _value(text: str) -> Any:
    """Parse a value, so that `4.0` and `4`, `True` and `true` are equal."""
    try:
        return json.loads(text.lower())
    except ValueError:
        return text


def as_text(value: Any) -> str:
    """Return a plain value as compared and shown text."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value if isinstance(value, str) else json.dumps(value)


def config_as_text(config: Mapping[str, Any]) -> dict[str, str]:
    """Return a nested config as dotted keys, with the values as text."""
    return {key: as_text(value) for key, value in flatten(config).items()}


def is_folder(key: str, value: str) -> bool:
    """Return whether a setting is a path of one machine, by its key or by the form of its value."""
    by_key = key.rpartition(".")[2] in ("dir", "path", "run_dir", "output_dir") and not key.startswith("task.")
    return value not in ("null", "") and (by_key or re.match(r"[~/]|\.\.?/", value) is not None)


def compared_value(run: Mapping[str, Any], key: str, value: str) -> str:
    """Return a setting as compared: for folders the last name, which published runs keep under `path_names`."""
    if not is_folder(key, value):
        return value
    return (run.get("path_names") or {}).get(key) or PurePath(value).name


def _checkpoint(run: FinishedRecord) -> str | None:
    checkpoint = run.get("checkpoint")
    if not checkpoint:
        return None
    return f"{checkpoint['selected']} on {checkpoint['split']}" if checkpoint["split"] else checkpoint["selected"]
