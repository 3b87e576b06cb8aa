"""Ledger lines without machine-specific data, for publication."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any

from kdrun.errors import ConfigError, DataError
from kdrun.reporting.tables.run_facts import DATA_PATHS, config_as_text, is_folder, is_non_identity, typed_overrides
from kdrun.storage.files import read_jsonl, write_atomic
from kdrun.storage.json_reader import Shape

Record = dict[str, Any]
MACHINE_KEYS = ("pid", "process_started", "boot", "run_dir", "host", "folders")
"""Keys of records and arms that have no meaning on other machines."""
PUBLISHED: dict[str, Shape] = {"event": str, "run_id?": str, "comparison_id?": str}
"""Shape of the lines of a file that records are merged into."""
PLACEHOLDER = re.compile(r"[A-Z][A-Z0-9_]*")
PATH = re.compile(r"(?<![\w./~])(?:~|\.{1,2})?/(?!/)[^\s'\",;:()\[\]{}]+")
"""Matches anything that looks like a path inside a sentence."""


def to_published(record: Mapping[str, Any]) -> Record:
    """Return a run or a comparison without machine-specific data.

    Folders become placeholders, `data.dir=DATA_DIR`. The last names of folders that distinguish models or corpora are
    kept under `path_names`, so that tables of published runs still distinguish them.
    """
    config = record.get("config") or {}
    values = {**config_as_text(config), **typed_overrides(record["command"])}
    folders = {
        key: value for key, value in values.items() if is_folder(key, value) and not PLACEHOLDER.fullmatch(value)
    }
    placeholders = {value: placeholder(key) for key, value in folders.items() if "/" in value}
    published = {key: value for key, value in record.items() if key not in (*MACHINE_KEYS, "config", "event")}
    published = {"event": "comparison" if record["event"] == "comparison" else "run", **published}
    published = _clean(published, placeholders)
    if "config" in record:
        published["config"] = _clean_config(config, placeholders)
    names = {
        key: PurePath(value).name
        for key, value in folders.items()
        if key not in DATA_PATHS and not is_non_identity(key)
    }
    names = (record.get("path_names") or {}) | names
    return published | ({"path_names": names} if names else {})


def placeholder(key: str) -> str:
    """Return the placeholder of a folder: `teacher.path` → `TEACHER_PATH`."""
    return re.sub(r"\W", "_", key).upper()


def _clean(value: Any, placeholders: Mapping[str, str]) -> Any:
    """Return the same value without paths, at any depth."""
    if isinstance(value, Mapping):
        return {key: _clean_value(key, item, placeholders) for key, item in value.items() if key not in MACHINE_KEYS}
    if isinstance(value, list):
        return [_clean(item, placeholders) for item in value]
    if not isinstance(value, str):
        return value
    return _without_paths(_clean_arg(value) if re.fullmatch(r"[+\w.]+=\S+", value) else value, placeholders)


def _clean_value(key: str, value: Any, placeholders: Mapping[str, str]) -> Any:
    if key == "command":
        return clean_command(value)
    if key == "words" and isinstance(value, list):  # overrides; in statistics of generated text, a number
        value = [arg for arg in value if not is_non_identity(arg.lstrip("+").partition("=")[0])]
    return _clean(value, placeholders)


def clean_command(command: str) -> str:
    """Replace a command's folders by placeholders and drop the settings that only say where it wrote."""
    first, *args = shlex.split(command)
    identity_args = [arg for arg in args if not is_non_identity(arg.lstrip("+").partition("=")[0])]
    return shlex.join([PurePath(first).name, *(_clean_arg(arg) for arg in identity_args)])


def _clean_arg(arg: str) -> str:
    key, separator, value = arg.partition("=")
    name = key.lstrip("+")
    if separator and is_folder(name, value) and not PLACEHOLDER.fullmatch(value):
        return f"{key}={placeholder(name)}"
    return _without_paths(arg, {})


def _clean_config(config: Mapping[str, Any], placeholders: Mapping[str, str], prefix: str = "") -> Record:
    cleaned: Record = {}
    for key, value in config.items():
        if not prefix and is_non_identity(key):
            continue
        if isinstance(value, Mapping):
            cleaned[key] = _clean_config(value, placeholders, f"{prefix}{key}.")
        elif isinstance(value, str):
            cleaned[key] = _clean_arg(f"{prefix}{key}={value}").partition("=")[2]
        else:
            cleaned[key] = _clean(value, placeholders)
    return cleaned


def _without_paths(text: str, placeholders: Mapping[str, str]) -> str:
    for value in sorted(placeholders, key=len, reverse=True):
        text = text.replace(value, placeholders[value])
    return PATH.sub("PATH", text)


def merge_into(path: Path, records: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
    """Add records to a published file, written atomically; records that it already has are replaced in place.

    Returns:
        Number of replaced records, and number of other records of the file.

    Raises:
        ConfigError: the file is the ledger of runs in progress.
        DataError: the file is not a ledger.
    """
    try:
        lines = {_id(line): line for line in (read_jsonl(path, PUBLISHED) if path.exists() else [])}
    except (DataError, KeyError) as error:
        raise DataError(f"export={path}: the file exists and is not a ledger ({error}); name another file") from error
    if any(line["event"] == "start" for line in lines.values()):
        raise ConfigError([f"export={path} is a ledger that runs write to; name another file"])
    before = set(lines)
    new = {_id(record): to_published(record) for record in records}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, "".join(f"{json.dumps(record)}\n" for record in (lines | new).values()))
    return len(before & set(new)), len(before - set(new))


def _id(record: Mapping[str, Any]) -> str:
    return record["comparison_id"] if record["event"] == "comparison" else record["run_id"]
