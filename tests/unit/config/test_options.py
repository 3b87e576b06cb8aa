"""Options of subcommands: types, lists, ranges and problems."""

from dataclasses import dataclass
from enum import Enum

import pytest

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
    settings, rest = options.parse_options(
        Settings, ["names=a,b", "count=5", "shape=square", "scale=2", "task=rte"], others=True
    )
    assert (settings.names, settings.count, settings.shape, settings.since, settings.scale) == (
        ["a", "b"],
        5,
        Shape.square,
        None,
        2.0,
    )
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
