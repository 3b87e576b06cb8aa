"""Ranges and meanings of the settings."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import pytest

from kdrun import registry
from kdrun.config import data, domains, model, optim, runtime, schema, task, teacher
from kdrun.config.fields import MISSING, setting, validate_ranges
from kdrun.config.task import TaskConfig
from kdrun.config.teacher import ScratchTeacherConfig

SECTIONS = [
    section
    for module in (data, domains, model, optim, runtime, schema, task, teacher)
    for section in vars(module).values()
    if isinstance(section, type) and dataclasses.is_dataclass(section) and section.__module__ == module.__name__
]
METHODS = [entry.config for entry in registry.entries("method").values() if entry.config is not None]
FIELDS = [(section, item) for section in [*SECTIONS, *METHODS] for item in dataclasses.fields(section)]


@dataclass
class Bounds:
    above: float = setting(1.0, "more than 0", gt=0)
    least: int = setting(3, "at least 3", ge=3)
    below: float = setting(0.5, "less than 1", lt=1)
    most: int = setting(9, "at most 9", le=9)
    between: float = setting(0.5, "a share", ge=0, lt=1)
    many: list[int] = setting([1, 2], "each at least 0", ge=0)
    maybe: int | None = setting(None, "null or more than 0", gt=0)
    flag: bool = setting(False, "a switch", gt=5)
    text: str = setting("x", "a word", gt=5)


@dataclass
class Outer:
    inner: Bounds = setting(Bounds(), "a section")
    name: str = setting(doc="what it is called")


def problems(**values: Any) -> list[str]:
    return list(validate_ranges(Bounds(**values)))


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("above", 0.0, "> 0"),
        ("above", -1.0, "> 0"),
        ("least", 2, ">= 3"),
        ("below", 1.0, "< 1"),
        ("most", 10, "<= 9"),
        ("between", -0.1, ">= 0 and < 1"),
        ("between", 1.0, ">= 0 and < 1"),
        ("maybe", 0, "> 0"),
    ],
)
def test_values_out_of_range_are_a_problem_with_key_range_and_value(key: str, value: float, expected: str) -> None:
    assert problems(**{key: value}) == [f"{key} must be {expected}, got {value}"]


@pytest.mark.parametrize(
    ("key", "value"),
    [("above", 1e-30), ("least", 3), ("below", 0.999), ("most", 9), ("between", 0.0), ("maybe", None), ("maybe", 1)],
)
def test_edges_inside_are_accepted(key: str, value: float | None) -> None:
    assert problems(**{key: value}) == []


@pytest.mark.parametrize("key", ["above", "least", "below", "most", "between"])
def test_nan_is_refused(key: str) -> None:
    (problem,) = problems(**{key: float("nan")})
    assert problem.endswith("got nan")


def test_an_integer_meant_as_a_float_is_compared_as_a_number() -> None:
    assert problems(above=0) == ["above must be > 0, got 0"]
    assert problems(above=2) == []


def test_each_item_of_a_list_is_checked() -> None:
    assert problems(many=[-1, 0, -2]) == [f"many must be >= 0, got {bad}" for bad in (-1, -2)]
    assert problems(many=[]) == []


def test_switches_and_text_are_no_numbers() -> None:
    assert problems(flag=False, text="3") == []
    assert problems(above=False) == []  # a wrong type is the schema's business, not the range's


def test_every_problem_is_reported_with_its_path() -> None:
    section = Outer(inner=Bounds(above=0.0, most=10), name="x")
    assert list(validate_ranges(section)) == ["inner.above must be > 0, got 0.0", "inner.most must be <= 9, got 10"]
    assert next(validate_ranges(section, "method.")) == "method.inner.above must be > 0, got 0.0"


def test_missing_is_reported_with_its_meaning() -> None:
    (problem,) = validate_ranges(Outer(), "task.")
    assert problem == "task.name is required: what it is called; set it with task.name=…"


def test_a_whole_config_without_its_choices() -> None:
    keys = [problem.split()[0] for problem in validate_ranges(schema.RunConfig())]
    choices = ["data", "teacher", "student", "generator", "corpus"]
    assert sorted(keys) == sorted(["method", "task.name", "task.headline", "preset", *choices])


def test_nested_sections_of_a_real_config_are_checked() -> None:
    teacher = ScratchTeacherConfig(name="scratch")
    teacher.finetune_optim.lr = -1.0
    teacher.pretrain.mask_rate = 1.0
    assert sorted(validate_ranges(teacher, "teacher.")) == [
        "teacher.finetune_optim.lr must be > 0, got -1.0",
        "teacher.pretrain.mask_rate must be > 0 and < 1, got 1.0",
    ]


def test_defaults_are_not_shared() -> None:
    first, second = Outer(), Outer()
    first.inner.many.append(7)
    assert second.inner.many == [1, 2]
    assert model.ScratchConfig().pretrain is not model.ScratchConfig().pretrain


@pytest.mark.parametrize(("section", "item"), FIELDS, ids=[f"{s.__name__}.{f.name}" for s, f in FIELDS])
def test_every_setting_has_a_description(section: type, item: dataclasses.Field[Any]) -> None:
    assert item.metadata.get("doc", "").strip(), f"{section.__name__}.{item.name} has no meaning: use setting(…)"


@pytest.mark.parametrize("section", [*SECTIONS, *METHODS], ids=lambda section: section.__name__)
def test_every_section_has_a_description_and_allowed_defaults(section: type) -> None:
    assert section.__doc__
    assert not section.__doc__.startswith(f"{section.__name__}("), "the docstring is dataclass's own"
    assert not [problem for problem in validate_ranges(section()) if " is required: " not in problem]


def test_the_sections_are_found() -> None:
    assert {schema.RunConfig, optim.OptimConfig, task.TaskConfig} <= set(SECTIONS)
    for choices in schema.SCHEMAS.values():
        assert set(choices.values()) <= set(SECTIONS)
    assert MISSING == "???"


@pytest.mark.parametrize(
    ("labels", "is_regression", "outputs"), [([], True, 1), (["no", "yes"], False, 2), (["a", "b", "c"], False, 3)]
)
def test_task_shape(labels: list[str], is_regression: bool, outputs: int) -> None:
    task = TaskConfig(labels=labels, rows={"train": 9, "dev": 3, "dev_mm": 4})
    assert (task.is_regression, task.num_outputs) == (is_regression, outputs)
    assert task.dev_splits == ["dev", "dev_mm"]
