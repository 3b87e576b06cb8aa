"""Ledger lines without machine-specific data, for publication."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any

from kdrun.errors import ConfigError, DataError
from kdrun.reporting.tables.run_facts import FOLDER_OF_DATA, config_as_text, is_folder, of_the_place, typed_overrides
from kdrun.storage.files import write_atomic

Record = dict[str, Any]
OF_THE_MACHINE = ("pid", "run_dir", "host", "folders")
"""Keys of records and arms that mean nothing elsewhere."""
PLACEHOLDER = re.compile(r"[A-Z][A-Z0-9_]*")
PATH = re.compile(r"(?<![\w./~])(?:~|\.{1,2})?/(?!/)[^\s'\",;:()\[\]{}]+")
"""What looks like a path inside a sentence."""


def to_published(record: Mapping[str, Any]) -> Record:
    """A run or a comparison as it may be published.

    Folders become placeholders, `data.dir=DATA_DIR`; the last names of those that tell models or corpora apart are
    kept under `path_names`, so that tables of published runs still do.
    """
    config = record.get("config") or {}
    given = {**config_as_text(config), **typed_overrides(record["command"])}
    folders = {key: value for key, value in given.items() if is_folder(key, value) and not PLACEHOLDER.fullmatch(value)}
    places = {value: placeholder(key) for key, value in folders.items() if "/" in value}
    made = {key: value for key, value in record.items() if key not in (*OF_THE_MACHINE, "config", "event")}
    made = {"event": "comparison" if record["event"] == "comparison" else "run", **made}
    made = _clean(made, places)
    if "config" in record:
        made["config"] = _clean_config(config, places)
    names = {
        key: PurePath(value).name for key, value in folders.items() if key != FOLDER_OF_DATA and not of_the_place(key)
    }
    names = (record.get("path_names") or {}) | names
    return made | ({"path_names": names} if names else {})


def placeholder(key: str) -> str:
    """What stands for a folder: `teacher.path` → `TEACHER_PATH`."""
    return re.sub(r"\W", "_", key).upper()


def _clean(value: Any, places: Mapping[str, str]) -> Any:
    """The same value without paths, at any depth."""
    if isinstance(value, Mapping):
        return {key: _clean_value(key, item, places) for key, item in value.items() if key not in OF_THE_MACHINE}
    if isinstance(value, list):
        return [_clean(item, places) for item in value]
    if not isinstance(value, str):
        return value
    return _without_paths(_clean_word(value) if re.fullmatch(r"[+\w.]+=\S+", value) else value, places)


def _clean_value(key: str, value: Any, places: Mapping[str, str]) -> Any:
    if key == "command":
        return clean_command(value)
    if key == "words" and isinstance(value, list):  # a command's; of made text it is a number
        value = [word for word in value if not of_the_place(word.lstrip("+").partition("=")[0])]
    return _clean(value, places)


def clean_command(command: str) -> str:
    """A command with placeholders for its folders, without the words that say where it wrote."""
    first, *words = shlex.split(command)
    kept = [word for word in words if not of_the_place(word.lstrip("+").partition("=")[0])]
    return shlex.join([PurePath(first).name, *(_clean_word(word) for word in kept)])


def _clean_word(word: str) -> str:
    key, mark, value = word.partition("=")
    name = key.lstrip("+")
    if mark and is_folder(name, value) and not PLACEHOLDER.fullmatch(value):
        return f"{key}={placeholder(name)}"
    return _without_paths(word, {})


def _clean_config(config: Mapping[str, Any], places: Mapping[str, str], prefix: str = "") -> Record:
    made: Record = {}
    for key, value in config.items():
        if not prefix and of_the_place(key):
            continue
        if isinstance(value, Mapping):
            made[key] = _clean_config(value, places, f"{prefix}{key}.")
        elif isinstance(value, str):
            made[key] = _clean_word(f"{prefix}{key}={value}").partition("=")[2]
        else:
            made[key] = _clean(value, places)
    return made


def _without_paths(text: str, places: Mapping[str, str]) -> str:
    for value in sorted(places, key=len, reverse=True):
        text = text.replace(value, places[value])
    return PATH.sub("PATH", text)


def write(path: Path, records: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
    """Add records to a published file, written whole; those it has already are replaced in their place.

    Returns:
        How many were replaced, and how many others the file has kept.

    Raises:
        ConfigError: the file is the ledger of runs in progress.
        DataError: the file is no ledger.
    """
    lines: dict[str, Record] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            old = json.loads(line)
            lines[_id(old)] = old
        except (json.JSONDecodeError, KeyError) as error:
            raise DataError(f"export={path}: the file exists and is no ledger ({error}); name another") from error
        if old["event"] == "start":
            raise ConfigError([f"export={path} is a ledger that runs write to; name another file"])
    before = set(lines)
    new = {_id(record): to_published(record) for record in records}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, "".join(f"{json.dumps(record)}\n" for record in (lines | new).values()))
    return len(before & set(new)), len(before - set(new))


def _id(record: Mapping[str, Any]) -> str:
    return record["comparison_id"] if record["event"] == "comparison" else record["run_id"]
