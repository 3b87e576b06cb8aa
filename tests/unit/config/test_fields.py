"""Dataclass fields: defaults, required values and ranges."""

import math
from dataclasses import dataclass, field
from typing import Any

import pytest

from kdrun.config.fields import setting, validate_ranges


@dataclass
class Inner:
    """A nested section."""

    rate: float = setting(0.5, "share", ge=0, lt=1)


@dataclass
class Section:
    """A section with every sort of value."""

    name: str = setting(doc="name of the thing")
    steps: int = setting(1, "steps", gt=0)
    layers: list[int] = setting([0, 1], "layers", ge=0)
    flag: bool = setting(False, "switch", gt=0)
    inner: Inner = setting(Inner(), "nested")
    free: float = field(default=-3.0)


def problems(**values: Any) -> list[tuple[str | None, Any]]:
    keywords: dict[str, Any] = {"name": "x"} | values
    section = Section(**keywords)
    return [(problem.key, problem.value) for problem in validate_ranges(section)]


def test_defaults_are_valid_except_a_required_value() -> None:
    assert problems() == []
    (problem,) = validate_ranges(Section())
    assert (problem.key, problem.value) == ("name", None)
    assert "name of the thing" in problem


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"steps": 0}, [("steps", 0)]),
        ({"steps": -1, "layers": [-1, 2, -3]}, [("steps", -1), ("layers", -1), ("layers", -3)]),
        ({"inner": Inner(0.0)}, []),
        ({"inner": Inner(1.0)}, [("inner.rate", 1.0)]),
        ({"flag": False}, []),
        ({"free": -math.inf}, [("free", -math.inf)]),
    ],
)
def test_values_outside_their_range_are_problems(values: dict[str, Any], expected: list[Any]) -> None:
    assert problems(**values) == expected


def test_nan_is_outside_every_range() -> None:
    ((key, value),) = problems(inner=Inner(math.nan))
    assert key == "inner.rate"
    assert math.isnan(value)


def test_two_sections_share_no_mutable_default() -> None:
    first, second = Section("a"), Section("b")
    first.layers.append(7)
    first.inner.rate = 0.9
    assert (second.layers, second.inner.rate) == ([0, 1], 0.5)
