"""Read foreign JSON, checked against a shape."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Any

from kdrun.errors import DataError

Shape = type | UnionType | Mapping[str, "Shape"] | list["Shape"] | tuple["Shape", None]
"""Expected form of a JSON value: a type or union of types; a dict of required keys; a list with the shape of its items;
or `(shape, None)` where the value may be null."""

SURROGATE = re.compile("[\ud800-\udfff]")
NAMES = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
}


def parse(content: bytes | str) -> Any:
    """Parse one JSON value.

    Raises:
        ValueError: the content is not UTF-8 or not JSON, is nested too deeply, or contains half of a surrogate pair,
            which no file and no tokenizer accepts.
    """
    text = content.decode("utf-8") if isinstance(content, bytes) else content
    half = None
    try:
        value = json.loads(text)
        # only an escape can contain half of a pair: UTF-8 cannot
        if "\\u" in text:
            half = next(_surrogates(value), None)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if half is not None:
        raise ValueError(f"it contains {half!r}, half of a character")
    return value


def read_object(content: bytes | str, shape: Mapping[str, Shape], where: str) -> dict[str, Any]:
    """Parse one JSON object and check it; further keys are allowed.

    Args:
        content: the JSON.
        shape: the required keys and the shapes of their values.
        where: file, and line if there are several, for the message.

    Raises:
        DataError: the content is not JSON or has another shape; names the first five problems.
    """
    try:
        value = parse(content)
    except ValueError as error:
        raise DataError(f"{where} is not JSON: {error}") from None
    problems = list(shape_problems(value, shape))
    if problems:
        raise DataError(f"{where} has an unexpected content: {'; '.join(problems[:5])}")
    return value


def shape_problems(value: Any, shape: Shape, key: str = "") -> Iterator[str]:
    """Differences between a value and its expected shape, one sentence each."""
    if isinstance(shape, tuple):
        if value is not None:
            yield from shape_problems(value, shape[0], key)
    elif isinstance(shape, Mapping):
        if not isinstance(value, dict):
            yield _wrong(key, "an object", value)
            return
        for name, item in shape.items():
            path = f"{key}.{name}" if key else name
            if name in value:
                yield from shape_problems(value[name], item, path)
            elif not isinstance(item, tuple):
                yield f"{path} is missing"
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield _wrong(key, "a list", value)
            return
        for index, item in enumerate(value):
            yield from shape_problems(item, shape[0], f"{key}[{index}]")
    elif not _is_of(value, shape):
        types = shape.__args__ if isinstance(shape, UnionType) else (shape,)
        yield _wrong(key, " or ".join(NAMES[one] for one in types), value)


def _is_of(value: Any, shape: type | UnionType) -> bool:
    if isinstance(value, bool):
        return isinstance(True, shape) if shape is not int and shape is not float else False
    return isinstance(value, int | shape) if shape is float else isinstance(value, shape)


def _wrong(key: str, expected: str, value: Any) -> str:
    found = "null" if value is None else f"{value!r:.60}"
    return f"{key or 'it'} must be {expected}, got {found}"


def _surrogates(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from SURROGATE.findall(value)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from SURROGATE.findall(name)
            yield from _surrogates(item)
    elif isinstance(value, list):
        for item in value:
            yield from _surrogates(item)
