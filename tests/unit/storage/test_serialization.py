"""Flattening of nested values."""

from kdrun.storage import serialization


def test_flatten_joins_keys_with_dots() -> None:
    nested = {"a": {"b": 1, "c": None}, "d": [1, 2], "e": {}}
    assert serialization.flatten(nested) == {"a.b": 1, "a.c": None, "d": [1, 2]}
    assert serialization.flatten(nested, keep_empty=True) == {"a.b": 1, "a.c": None, "d": [1, 2], "e": {}}
