"""Reading docstrings and the comments of `conf/`."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from kdrun.cli.explain.notes import TAG, Value, field_docs, read_docstring, read_yaml, reflow


class Documented:
    """Minimize over the student:

        L = a · hard
          + b · soft

    A paragraph that goes on
    in a second line.

    Differences:
        divergence: the paper says KL,
            the code cross-entropy.
        - nothing chooses this: at all

    Cost:
        student: two passes.

        teacher: none
    """  # fmt: skip


class Bare:
    pass


@dataclass
class Fields:
    """A dataclass."""

    a: int = 1
    """The first."""
    b: int = 2
    c: int = 3
    """The third,
    in two lines."""


def test_docstring_by_paragraphs_and_sections() -> None:
    docs = read_docstring(Documented)
    assert docs.paragraphs == [
        "Minimize over the student:",
        "    L = a · hard",
        "      + b · soft",
        "A paragraph that goes on in a second line.",
    ]
    assert docs.sections == {
        "Differences": [
            ("divergence", "the paper says KL, the code cross-entropy."),
            ("", "nothing chooses this: at all"),
        ],
        "Cost": [("student", "two passes."), ("teacher", "none")],
    }


def test_a_line_that_ends_in_a_colon_is_no_section_unless_something_is_indented_under_it() -> None:
    def sectioned() -> None:
        """Sum up.

        Note:
        this is prose.
        """

    assert read_docstring(sectioned).sections == {}
    assert read_docstring(sectioned).paragraphs[1] == "Note: this is prose."


def test_no_docstring_is_nothing() -> None:
    assert read_docstring(Bare).paragraphs == []
    assert read_docstring(Bare).sections == {}


def test_reflow_keeps_commands_and_points_apart() -> None:
    assert reflow("one\ntwo\n  kdrun x\nthree\nfour\n- a\n  b\n- c") == [
        "one two", "  kdrun x", "three four", "- a", "  b", "- c",
    ]  # fmt: skip


def test_field_docs() -> None:
    assert field_docs(Fields) == {"a": "The first.", "c": "The third,\nin two lines."}


def test_yaml(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(
        "# @package _global_\n"
        "# What it is,\n"
        "# and more.\n"
        "#   kdrun x=1\n"
        "defaults:\n"
        "  - override /data: folder\n"
        "  - _self_\n"
        "name: x\n"
        "word: 'a # b'   # [ours] no tag in the quotes\n"
        "# a remark\n"
        "flow: {lr: 1.0e-3, inner: {deep: [1, 2]}}   # [code]\n"
        "block:   # [paper §3]\n"
        "  one: 1\n"
        "  two: 2   # [ours]\n"
        "  more: {three: 3}\n"
        "seen: [1,\n"
        "  2]   # [code]\n"
    )
    notes = read_yaml(path)
    assert notes.header == ["What it is, and more.", "  kdrun x=1"]
    assert notes.remarks == ["a remark"]
    assert notes.choices == [("data", "folder")]
    assert notes.is_global
    assert notes.sections == {"block": "[paper §3]"}
    assert notes.values == [
        Value("name", "x"),
        Value("word", "'a # b'", "[ours] no tag in the quotes"),
        Value("flow.lr", "1.0e-3", "[code]"),
        Value("flow.inner.deep", "[1, 2]", "[code]"),
        Value("block.one", "1", "[paper §3]"),
        Value("block.two", "2", "[ours]"),
        Value("block.more.three", "3", "[paper §3]"),
        Value("seen", "[1, 2]", "[code]"),
    ]


def test_yaml_without_values(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("# only a comment\n")
    assert read_yaml(path).header == ["only a comment"]
    assert read_yaml(path).values == []


@pytest.mark.parametrize(
    "comment",
    ["[ours]", "[paper §3.1, eq. 2]", "[code finetune.py]", "[paper §2] [code] words", "[ours]; words", "[paper] x"],
)
def test_allowed_tags(comment: str) -> None:
    assert TAG.match(comment)


@pytest.mark.parametrize("comment", ["ours", "[our]", "words [ours]", "[ours", "[paper§3]", "[ours]words", "[ours, x]"])
def test_refused_tags(comment: str) -> None:
    assert not TAG.match(comment)
