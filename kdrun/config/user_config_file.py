"""A config file of the user: content, checks and Hydra's form.

A file may hold what a command line may hold: registered names and plain values, no code, no interpolation, no setting
of Hydra. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kdrun.config import plugins
from kdrun.config.optim import OptimConfig
from kdrun.config.paths import CONF_DIR
from kdrun.config.runtime import RuntimeConfig
from kdrun.config.schema import RunConfig
from kdrun.config.task import TaskConfig
from kdrun.errors import did_you_mean
from kdrun.registry import NAME

GLOBAL_AXES = ("preset", "experiment")
"""Axes whose files set values of any section."""
AXES = (*GLOBAL_AXES, "task", "data", "corpus", "teacher", "student", "generator", "optim", "runtime")
MAX_BYTES = 1_000_000
SINGLE_SCHEMAS: dict[str, type] = {"task": TaskConfig, "optim": OptimConfig, "runtime": RuntimeConfig}
"""Axes with one schema for all choices."""


@dataclass(frozen=True)
class UserChoice:
    """A choice of the user's own.

    Attributes:
        axis: e.g. `task`.
        name: the name of the file without its ending.
        path: the file.
        values: its values.
        choices: choices of other axes that a preset or experiment makes.
    """

    axis: str
    name: str
    path: Path
    values: dict[str, Any]
    choices: dict[str, str]

    @property
    def package(self) -> str:
        """Where Hydra puts its values: the section, or the whole config."""
        return "_global_" if self.axis in GLOBAL_AXES else self.axis

    @property
    def node(self) -> dict[str, Any]:
        """The content for Hydra, with its defaults list."""
        defaults: list[Any] = [{f"override /{axis}": name} for axis, name in self.choices.items()]
        if self.axis not in GLOBAL_AXES and self.axis not in SINGLE_SCHEMAS:
            defaults.append(f"/schema/{self.axis}/{self.values['name']}")
        return {"defaults": [*defaults, "_self_"], **self.values} if defaults else dict(self.values)


def read_file(file: Path) -> tuple[UserChoice | None, list[str]]:
    """The choice of a file, and its problems; None with problems."""
    axis, name = file.parent.name, file.stem
    if (CONF_DIR / axis / f"{name}.yaml").exists():
        return None, [f"{file}: kdrun has a {axis}={name}; give the file another name"]
    if not file.is_file() or file.stat().st_size > MAX_BYTES:
        return None, [f"{file}: a config file is a plain file of at most {MAX_BYTES} bytes"]
    try:
        text = file.read_text(encoding="utf-8")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            return None, [f"{file} has YAML aliases (*name); write the values out"]
        content = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        return None, [f"{file} is not readable YAML ({type(error).__name__}: {reason})"]
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        return None, [f"{file}: a config file is a mapping: key: value"]
    return _read_content(axis, name, content, file)


def _read_content(axis: str, name: str, content: dict[str, Any], file: Path) -> tuple[UserChoice | None, list[str]]:
    """The choice of a file's content, and its problems."""
    where, problems = str(file), []
    if not NAME.fullmatch(name):
        problems.append(f"{where}: a name has letters, digits and _ only, and begins with a letter")
    problems += [f"{where}: {text}" for text in _unsafe(content)]
    values = {key: value for key, value in content.items() if key != "defaults"}
    choices, unfit = _choices(axis, content.get("defaults", []))
    problems += [f"{where}: {text}" for text in unfit]
    if axis in GLOBAL_AXES:
        values.setdefault(axis, name)
        own_name = values[axis]
    elif axis == "task":
        values.setdefault("name", name)
        own_name = values["name"]
    else:
        own_name = name
    if own_name != name:
        problems.append(f"{where}: its name is {own_name!r}; it must be that of the file, {name}")
    if not problems:
        problems += [f"{where}: {text}" for text in _unfit_values(axis, values)]
    return (None, problems) if problems else (UserChoice(axis, name, file, values, choices), [])


def _unsafe(value: Any) -> Iterator[str]:
    """What no command line may hold either."""
    if isinstance(value, dict):
        for key, item in value.items():
            if "_target_" in str(key).split("."):
                yield f"{key}: a config names registered components, never code"
            if str(key).partition(".")[0] == "hydra":
                yield f"{key}: a config file has no settings of Hydra"
            yield from _unsafe(key)
            yield from _unsafe(item)
    elif isinstance(value, list):
        for item in value:
            yield from _unsafe(item)
    elif isinstance(value, str) and "${" in value:
        yield f"{value[:60]!r}: interpolation is not read from config files; write the value"
    elif isinstance(value, str) and value == "_target_":
        yield f"{value}: a config names registered components, never code"


def _choices(axis: str, defaults: Any) -> tuple[dict[str, str], list[str]]:
    """The choices of other axes in a defaults list, and what else is in the list."""
    choices, problems = {}, []
    for item in defaults if isinstance(defaults, list) else [defaults]:
        if item == "_self_" or (isinstance(item, str) and item.startswith(f"/schema/{axis}/")):
            continue
        key, value = next(iter(item.items())) if isinstance(item, dict) and len(item) == 1 else (None, None)
        other = str(key).removeprefix("override /") if axis in GLOBAL_AXES else ""
        if other in (*AXES, "method", "loss") and isinstance(value, str):
            choices[other] = value
            continue
        problems.append(
            f"defaults: {item!r:.80} is not allowed; a preset or experiment has lines such as `override /task: sst2`"
        )
    return choices, problems


def _unfit_values(axis: str, values: Mapping[str, Any]) -> Iterator[str]:
    """Unknown keys and values of a wrong type."""
    if axis in GLOBAL_AXES:
        known = list(RunConfig.__dataclass_fields__)
        for key in values:
            if key.partition(".")[0] not in known:
                yield f"{key}: unknown key{did_you_mean(key, known)}"
        return
    schema = SINGLE_SCHEMAS.get(axis)
    if schema is None:
        schemas = plugins.section_schemas()[axis]
        if values.get("name") not in schemas:
            yield f"name: {values.get('name')!r} is no registered {axis} (name: one of {', '.join(schemas)})"
            return
        schema = schemas[str(values["name"])]
    node = OmegaConf.structured(schema)
    for key, value in values.items():
        if key not in schema.__dataclass_fields__:
            known = list(schema.__dataclass_fields__)
            yield f"{key}: unknown key{did_you_mean(key, known)} (keys: {', '.join(known)})"
            continue
        try:
            OmegaConf.update(node, key, value, merge=True)
        except OmegaConfBaseException as error:
            yield f"{key}: {str(error).splitlines()[0]}"
