"""Every key of a run's config, from the dataclasses."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from kdrun import registry
from kdrun.config import plugins
from kdrun.config.fields import BOUNDS, MISSING
from kdrun.config.schema import RunConfig
from kdrun.config.validation.teacher_models import USED_KEYS

_TYPE_NAMES = {bool: "true or false", int: "whole number", float: "number", str: "text", Any: "any value"}


@dataclass(frozen=True)
class Key:
    """One key of the config.

    Attributes:
        path: the key on the command line, e.g. `method.temperature`.
        doc: its meaning.
        allowed: its type and range, in words.
        default: default of the dataclass, as in yaml.
        schema: dataclass of a section; None for a value.
    """

    path: str
    doc: str
    allowed: str
    default: str
    schema: type | None = None


def yaml_text(value: Any) -> str:
    """A value as written in yaml and on the command line."""
    if isinstance(value, Enum):
        return str(value.name)
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(yaml_text(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {yaml_text(item)}' for name, item in value.items())}}}"
    return "required" if value == MISSING else str(value)


def fields(schema: type, prefix: str = "") -> Iterator[Key]:
    """All keys of a section and of its inner sections, depth first; a section comes before its keys."""
    hints = typing.get_type_hints(schema)
    for item in dataclasses.fields(schema):
        path, hint, doc = f"{prefix}{item.name}", hints[item.name], item.metadata.get("doc", "")
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            yield Key(path, doc, "section", "", hint)
            yield from fields(hint, f"{path}.")
        else:
            default = item.default_factory() if item.default is dataclasses.MISSING else item.default  # pyright: ignore[reportCallIssue]
            yield Key(path, doc, allowed(hint, item.metadata), yaml_text(default))


def allowed(hint: Any, bounds: typing.Mapping[str, Any]) -> str:
    """A type and its range in words: `number > 0`, `one of fp32, bf16`, `whole number > 0, or null`."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        parts = [allowed(part, bounds) for part in typing.get_args(hint) if part is not types.NoneType]
        return f"{' or '.join(parts)}, or null"
    if isinstance(hint, type) and issubclass(hint, Enum):
        return f"one of {', '.join(str(choice.name) for choice in hint)}"
    if typing.get_origin(hint) is list:
        return f"list of {allowed(typing.get_args(hint)[0], bounds)}"
    if typing.get_origin(hint) is dict:
        return "mapping"
    limits = " and ".join(f"{sign} {bounds[name]:g}" for name, sign, _ in BOUNDS if bounds.get(name) is not None)
    return f"{_TYPE_NAMES.get(hint, 'value')} {limits}".strip()


def sections() -> dict[str, dict[str, type]]:
    """Section → choice → schema; a section with only one schema has the choice `""`."""
    plain = {key.path: {"": key.schema} for key in fields(RunConfig) if "." not in key.path and key.schema}
    methods = {name: entry.config for name, entry in registry.entries("method").items() if entry.config}
    return plain | plugins.section_schemas() | {"method": methods}


def find(path: str) -> dict[str, Key]:
    """Choice such as `method=kd` → its key with this path; the choice is `""` for a key of every run."""
    section, _, _ = path.partition(".")
    if section == path:
        return dict(zip([""], (key for key in fields(RunConfig) if key.path == path), strict=False))
    keys = {}
    for choice, schema in sections().get(section, {}).items():
        for key in fields(schema, f"{section}."):
            # entries of a mapping have names that are not in its schema
            is_path = path == key.path or (key.allowed == "mapping" and path.startswith(f"{key.path}."))
            if is_path and has_effect(section, choice, path.removeprefix(f"{section}.")):
                keys[f"{section}={choice}" if choice else ""] = key
    return keys


def has_effect(section: str, choice: str, path: str) -> bool:
    """Whether a key of a section does anything with a choice; a teacher that is not trained here ignores several."""
    used = USED_KEYS.get(choice) if section == "teacher" else None
    return used is None or path.partition(".")[0] in (*used, "name")


def all_paths() -> list[str]:
    """The paths of all keys of all choices."""
    top = [key.path for key in fields(RunConfig) if "." not in key.path]
    inner = [
        key.path for name, schemas in sections().items() for s in schemas.values() for key in fields(s, f"{name}.")
    ]
    return list(dict.fromkeys(top + inner))
