"""Parsing and quoting of overrides."""

import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st

from kdrun.config import compose
from kdrun.config.overrides import parse_override, quote_value
from kdrun.errors import Problem


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
@example("a\\\\b")
@example("\\\\")
@example("\\\\'\\\\\\\\'")
@example("C:\\runs\\new\\")
def test_a_quoted_value_is_read_back_exactly(text: str) -> None:
    assert OverridesParser.create().parse_override(f"run_dir={quote_value(text)}").value() == text


@pytest.mark.parametrize("value", ["/x/epoch=3", "/x/a(1", "/x/[b", "/x/a#b c", "/x/ä{1"])
def test_the_remedy_of_an_unreadable_path_can_be_typed(value: str) -> None:
    problem = parse_override(f"data.dir={value}")
    assert isinstance(problem, Problem)
    assert (problem.key, problem.value) == ("data.dir", value)
    (typed,) = shlex.split(problem.partition("write ")[2])
    override = parse_override(typed)
    assert not isinstance(override, Problem)
    assert override.value() == value


def test_an_unreadable_value_is_not_reported_as_missing() -> None:
    problems = compose.validate_overrides(["data=folder", "data.dir=/x/epoch=3"], multirun=False)
    assert [problem.key for problem in problems] == ["data.dir"]
    assert [problem.key for problem in compose.validate_overrides(["data=folder"], multirun=False)] == ["data.dir"]


@pytest.mark.parametrize("text", ["+task=rte", "++method=kd", "+data=hub"])
def test_a_second_choice_of_a_section_is_refused(text: str) -> None:
    problem = parse_override(text)
    assert isinstance(problem, Problem)
    assert "without the +" in str(problem)
