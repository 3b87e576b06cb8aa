"""Read foreign JSON, checked against a shape."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from types import UnionType
from typing import Any

from kdrun.errors import DataError


@dataclass(frozen=True)
class Rule:
    """A condition on a value.

    Attributes:
        expected: the allowed values, for the message: `value must be {expected}`.
        holds: returns something true for an allowed value.
    """

    expected: str
    holds: Callable[[Any], object]


Shape = type | UnionType | Rule | dict[str, "Shape"] | list["Shape"] | tuple["Shape", None]
"""Expected form of a JSON value: a type or union of types; a rule; a dict with the shapes of its keys, of which those
that end with `?` may be missing, and `*` stands for all other keys; a list with the shape of its items; or
`(shape, None)` where the value may be null."""

EVERY_KEY = "*"
MOST_NAMED = 5
MAX_DEPTH = 100
"""Nesting that no file of kdrun comes near, and that every reader can walk through."""
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
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_deep(value):
        raise ValueError("it is nested too deeply")
    # only an escape can contain half of a pair: UTF-8 cannot
    half = next(_surrogates(value), None) if "\\u" in text else None
    if half is not None:
        raise ValueError(f"it contains {half!r}, half of a character")
    return value


def parse_object(content: bytes | str, shape: dict[str, Shape]) -> dict[str, Any]:
    """Parse one JSON object and check it; further keys are allowed.

    Args:
        content: the JSON.
        shape: the required keys and the shapes of their values.

    Raises:
        ValueError: the content is not JSON or has another shape; names the first five problems.
    """
    try:
        value = parse(content)
    except ValueError as error:
        raise ValueError(f"it is not JSON: {error}") from None
    check_shape(value, shape)
    return value


def check_shape(value: Any, shape: Shape) -> None:
    """Check a value against its expected shape.

    Raises:
        ValueError: the value has another shape; names the first five problems.
    """
    problems = list(islice(shape_problems(value, shape), MOST_NAMED))
    if problems:
        raise ValueError(f"unexpected content: {'; '.join(problems)}")


def read_object(content: bytes | str, shape: dict[str, Shape], where: str) -> dict[str, Any]:
    """Parse one JSON object and check it; further keys are allowed.

    Args:
        content: the JSON.
        shape: the required keys and the shapes of their values.
        where: file, and line if there are several, for the message.

    Raises:
        DataError: the content is not JSON or has another shape; names the first five problems.
    """
    try:
        return parse_object(content, shape)
    except ValueError as error:
        raise DataError(f"{where}: {error}") from None


def shape_problems(value: Any, shape: Shape, key: str = "") -> Iterator[str]:
    """Differences between a value and its expected shape, one sentence each."""
    if isinstance(shape, tuple):
        if value is not None:
            yield from shape_problems(value, shape[0], key)
    elif isinstance(shape, dict):
        if not isinstance(value, dict):
            yield _wrong(key, "an object", value)
            return
        named = {name.removesuffix("?") for name in shape}
        for name, item in shape.items():
            for one in [name.removesuffix("?")] if name != EVERY_KEY else value.keys() - named:
                path = f"{key}.{one}" if key else one
                if one in value:
                    yield from shape_problems(value[one], item, path)
                elif not name.endswith("?"):
                    yield f"{path} is missing"
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield _wrong(key, "a list", value)
            return
        for index, item in enumerate(value):
            yield from shape_problems(item, shape[0], f"{key}[{index}]")
    elif isinstance(shape, Rule):
        if not shape.holds(value):
            yield _wrong(key, shape.expected, value)
    elif not _is_of(value, shape):
        types = shape.__args__ if isinstance(shape, UnionType) else (shape,)
        yield _wrong(key, " or ".join(NAMES[one] for one in types), value)


def _is_of(value: Any, shape: type | UnionType) -> bool:
    if isinstance(value, bool):
        return isinstance(True, shape) if shape is not int and shape is not float else False
    return is_finite(value) if shape is float else isinstance(value, shape)


def is_finite(value: Any) -> bool:
    """Whether a value is a number that a float can hold; NaN, infinities and huge integers are not."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


def _wrong(key: str, expected: str, value: Any) -> str:
    found = "null" if value is None else f"{value!r:.60}"
    return f"{key or 'it'} must be {expected}, got {found}"


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            item
            for one in level
            if isinstance(one, dict | list)
            for item in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return True


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
