"""The words of a verb: typed, checked, with every problem in one report."""

from dataclasses import dataclass
from enum import Enum

import pytest

from kdrun.cli import main, subcommands
from kdrun.config import options
from kdrun.config.fields import setting
from kdrun.errors import ConfigError


class Shape(Enum):
    round = "round"
    square = "square"


@dataclass
class Settings:
    names: list[str] = setting([], "which")
    count: int = setting(3, "how many", gt=0)
    shape: Shape = setting(Shape.round, "its form")
    since: str | None = setting(None, "age")
    scale: float = setting(doc="a needed number")


def test_values_are_typed_and_lists_take_commas() -> None:
    made, rest = options.parse_options(
        Settings, ["names=a,b", "count=5", "shape=square", "scale=2", "task=rte"], others=True
    )
    assert (made.names, made.count, made.shape, made.since, made.scale) == (["a", "b"], 5, Shape.square, None, 2.0)
    assert rest == ["task=rte"]
    assert options.parse_options(Settings, ["names=a", "scale=1"])[0].names == ["a"]


def test_every_problem_in_one_report() -> None:
    with pytest.raises(ConfigError) as error:
        options.parse_options(Settings, ["cuont=2", "count=many", "shape=rond", "bare"])
    report = str(error.value)
    for part in (
        "cuont=2: unknown key; did you mean 'count'",
        "count=many",
        "shape=rond",
        "bare: write key=value",
        "scale is required",
    ):
        assert part in report
    assert len(error.value.problems) == 5


def test_ranges_are_checked() -> None:
    with pytest.raises(ConfigError, match="count must be > 0, got 0"):
        options.parse_options(Settings, ["count=0", "scale=1"])


@pytest.mark.parametrize("verb", list(subcommands.COMMANDS))
def test_every_verb_says_what_it_takes(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([verb, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"kdrun {verb}: ")
    assert len(shown.splitlines()) >= 2


def test_the_help_lists_the_verbs() -> None:
    for verb in subcommands.COMMANDS:
        assert f"\n  {verb} " in main.help_text()


def test_an_unknown_verb_names_the_near_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["comparee", "method=kd"]) == 2
    assert "unknown verb 'comparee'; did you mean 'compare'?" in capsys.readouterr().err


def test_problems_of_a_verb_end_with_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["compare", "sedes=3"]) == 2
    assert "error: " in capsys.readouterr().err
