"""Write and read dataclasses and enums as JSON with their types.

For values that one process of kdrun hands to another. Texts of others must not be read: reading imports the modules
that a text names, and makes only dataclasses and enums of them.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
from enum import Enum
from typing import Any

TYPE, VALUE = "__type__", "value"


def encode(value: Any) -> str:
    """Text of a value made of dataclasses, enums, lists, mappings with text keys, and plain values.

    Raises:
        TypeError: a value is of another type.
    """
    return json.dumps(_plain(value))


def decode(text: str | bytes) -> Any:
    """The value that a text was made of; tuples become lists.

    Raises:
        ValueError: the text names a type that is neither a dataclass nor an enum.
    """
    return _typed(json.loads(text))


def _plain(value: Any) -> Any:
    if value is None or (isinstance(value, bool | int | float | str) and not isinstance(value, Enum)):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Enum):
        return {TYPE: _name(type(value)), VALUE: value.name}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {TYPE: _name(type(value)), VALUE: fields}
    raise TypeError(f"{type(value).__name__} is no dataclass, enum or plain value")


def _typed(value: Any) -> Any:
    if isinstance(value, list):
        return [_typed(item) for item in value]
    if not isinstance(value, dict):
        return value
    if TYPE not in value:
        return {key: _typed(item) for key, item in value.items()}
    module, _, name = value[TYPE].partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    if isinstance(found, type) and issubclass(found, Enum):
        return found[value[VALUE]]
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        raise ValueError(f"{value[TYPE]} is neither a dataclass nor an enum")
    return found(**{key: _typed(item) for key, item in value[VALUE].items()})


def _name(found: type) -> str:
    return f"{found.__module__}:{found.__qualname__}"
