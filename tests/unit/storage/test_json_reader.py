"""JSON of strangers: every content is an object of the expected shape or a sentence."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdrun.errors import DataError
from kdrun.storage.json_reader import parse, read_object, shape_problems

SHAPE = {"name": str, "rows": int, "score": (float, None), "labels": [str], "file": {"sha256": str}, "any": int | str}
VALID = {"name": "x", "rows": 1, "score": 0.5, "labels": ["a"], "file": {"sha256": "0"}, "any": "z", "more": [1]}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def test_a_valid_object_is_returned_with_further_keys() -> None:
    assert read_object(json.dumps(VALID), SHAPE, "card.json") == VALID
    assert read_object(json.dumps(VALID | {"score": None, "any": 3}).encode(), SHAPE, "card.json")["any"] == 3
    assert not list(shape_problems(2, float))


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"name": 3}, "name"),
        ({"name": None}, "name"),
        ({"rows": True}, "rows"),
        ({"rows": 1.5}, "rows"),
        ({"score": "high"}, "score"),
        ({"labels": "a"}, "labels"),
        ({"labels": ["a", 2]}, r"labels\[1\]"),
        ({"file": {}}, r"file\.sha256"),
        ({"file": []}, "file"),
        ({"any": 1.5}, "any"),
    ],
)
def test_a_wrong_value_is_named(changed: dict[str, object], key: str) -> None:
    with pytest.raises(DataError, match=rf"card\.json.*{key} "):
        read_object(json.dumps(VALID | changed), SHAPE, "card.json")


@pytest.mark.parametrize("key", ["name", "rows", "labels", "file", "any"])
def test_a_missing_key_is_named(key: str) -> None:
    with pytest.raises(DataError, match=rf"{key} is missing"):
        read_object(json.dumps({name: value for name, value in VALID.items() if name != key}), SHAPE, "card.json")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", b"[" * 100_000, b'{"a": "\\ud800"}', b'{"\\udfff": 1}', b'["\\ud83d", "\\ude00"]']
)
def test_unreadable_content_is_a_sentence(content: bytes) -> None:
    with pytest.raises(DataError, match=r"run\.json: it is not JSON"):
        read_object(content, {}, "run.json")


def test_a_whole_surrogate_pair_is_a_character() -> None:
    assert parse(b'"\\ud83d\\ude00"') == "\N{GRINNING FACE}"


@given(JSON)
def test_any_value_is_read_back_and_compared_with_a_shape(value: object) -> None:
    assert parse(json.dumps(value)) == value
    assert all(isinstance(problem, str) for problem in shape_problems(value, SHAPE))


@given(st.binary())
def test_any_bytes_are_accepted_or_explained(content: bytes) -> None:
    with pytest.raises(DataError):
        read_object(content, SHAPE, "x")
