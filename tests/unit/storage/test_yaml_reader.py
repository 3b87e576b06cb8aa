"""YAML of others: what is plain is read, what grows or nests without limit is refused at once."""

import time

import pytest
import yaml

from kdrun.storage import yaml_reader
from tests.helpers.yaml_bombs import ALIASES, MERGES


@pytest.mark.parametrize(
    "text",
    ["", "a: 1", "- 1\n- [a, {b: null}]", "a: &x [1, 2]\nb: *x", "a: 'text # no comment'\nb: |\n  lines\n  of text\n"],
)
def test_documents_are_read_as_by_pyyaml(text: str) -> None:
    assert yaml_reader.parse(text) == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (ALIASES, "100000 values"),
        (MERGES, "100000 values"),
        ("[" * 90_000, "deeper than 50"),
        ("{a: " * 90_000, "deeper than 50"),
        ("".join("  " * i + "a:\n" for i in range(60)), "deeper than 50"),
        (f"a: &x {'[' * 30}1{']' * 30}\nb: {'[' * 30}*x{']' * 30}", "deeper than 50"),
        ("a: &x [*x]", "alias"),
        ("a: *missing", "alias"),
        ("a: " + "1:" * 400_000 + "1", "characters"),
        ("a: " + "9" * 900_000, "characters"),
        ("a: " + "x" * 1_000_001, "bytes"),
        ("a: [", "expected"),
        ("!!python/object/apply:os.system [ls]", "python"),
    ],
    ids=[
        "aliases",
        "merges",
        "lists",
        "mappings",
        "indented",
        "deep_alias",
        "recursive",
        "missing",
        "base_60",
        "digits",
        "size",
        "cut_off",
        "code",
    ],
)
def test_documents_without_limit_are_refused_at_once(text: str, reason: str) -> None:
    started = time.process_time()
    with pytest.raises(ValueError, match=reason):
        yaml_reader.parse(text)
    assert time.process_time() - started < 5
