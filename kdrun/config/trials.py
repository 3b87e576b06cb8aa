"""Try overrides one by one on a composed config."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException, ValidationError

from kdrun.config import plugins, schema
from kdrun.config.suggestions import suggest_key
from kdrun.errors import Problem, did_you_mean
from kdrun.formatting import first_line
from kdrun.storage.key_aliases import REMOVED_METHOD_KEYS


class Trial:
    """A composed config on which overrides are tried; copies take long, so only a failed override costs a new one."""

    def __init__(self, base: DictConfig) -> None:
        self.base = base
        self._copy: DictConfig | None = None

    def update(self, override: Override, value: str) -> None:
        """Set a value; raises what OmegaConf raises."""
        parsed = OverridesParser.create().parse_override(f"k={value}").value()
        if self._copy is None:
            self._copy = copy.deepcopy(self.base)
        try:
            OmegaConf.update(self._copy, override.key_or_group, parsed, merge=True, force_add=override.is_add())
        except OmegaConfBaseException:
            self._copy = None
            raise


def valid_values(trial: Trial, override: Override, values: list[str], problems: list[Problem]) -> list[str]:
    """The overrides of one key that fit the composed config; a value that does not fit becomes a problem."""
    base, key, valid = trial.base, override.key_or_group, []
    group, _, name = key.partition(".")
    if name == "name" and group in (*schema.SCHEMAS, "method", "task"):
        title = f"; task.title={values[0]} is a name in results" if group == "task" else ""
        text = f"{key} follows from the choice: write {group}={values[0]}{title}"
        problems.append(Problem(key, values[0], text))
        return []
    if override.is_add() and not _is_open(base, key):
        problems.append(_unknown(key, values[0], base))
        return []
    for value in values:
        try:
            trial.update(override, value)
            valid.append(f"{'+' if override.is_add() else ''}{key}={value}")
        except ValidationError as error:
            problems.append(Problem(key, value, f"{key}={value}: {first_line(str(error))}"))
        except OmegaConfBaseException:
            problems.append(_unknown(key, value, base))
            return []
    return valid


def _is_open(base: DictConfig, key: str) -> bool:
    """Whether keys may be added next to this one: in plain dictionaries such as `sizes`, not in schemas."""
    parent = OmegaConf.select(base, key.rpartition(".")[0]) if "." in key else None
    return isinstance(parent, DictConfig) and OmegaConf.get_type(parent) is dict


def _unknown(key: str, value: str, base: DictConfig) -> Problem:
    """An unknown key, with the nearest key, another choice that has the key, or how to add it."""
    keys, (group, _, name) = _all_keys(OmegaConf.to_container(base)), key.rpartition(".")
    owners = [
        f"{group}={choice}"
        for choice, schema in plugins.section_schemas().get(group, {}).items()
        if any(field.name == name for field in dataclasses.fields(schema))
    ]
    removed = REMOVED_METHOD_KEYS.get(str(OmegaConf.select(base, "method.name")), {})
    if key in removed:
        text = f"{key}={value} has no effect: {removed[key]}"
    elif owners:
        text = f"{key} belongs to {' and '.join(owners)}, which this run does not use"
    elif _is_open(base, key):
        text = f"{key}: not set here{did_you_mean(key, keys)}; +{key}=… adds it{_siblings(key, keys)}"
    else:
        text = f"{key}: unknown key{suggest_key(key, keys)}{_siblings(key, keys)}"
    return Problem(key, value, text)


def _all_keys(node: Any, prefix: str = "") -> list[str]:
    keys = []
    for name, value in node.items():
        keys.append(f"{prefix}{name}")
        if isinstance(value, dict):
            keys += _all_keys(value, f"{prefix}{name}.")
    return keys


def _siblings(key: str, keys: list[str]) -> str:
    parent = key.rpartition(".")[0]
    names = [k.rpartition(".")[2] for k in keys if k.rpartition(".")[0] == parent]
    where = f"of {parent} " if parent else ""
    return f" (keys {where}here: {', '.join(names)})" if names else ""
